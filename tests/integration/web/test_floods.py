"""Floods of connections and of bad requests: who is served meanwhile, and how much is logged."""

from __future__ import annotations

import logging
import resource
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfhost.http_protocol import Times
from tests.support.processes.selfhosted import ONE_WORKER, SelfHosted, wait_until
from tests.support.web.clients import ServerClient
from tests.support.web.limited_server import PATIENCE, UNKNOWN, Running, post, received, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.web.conftest import Backend

pytestmark = pytest.mark.slow

# As many as stopped a server with the usual limit of 1,024 open files.
SILENT = 1100


@pytest.fixture
def server(backend: Backend) -> Iterator[Running]:
    with running(backend.app()) as made:
        yield made


def test_at_the_limit_those_that_wait_longest_make_way(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    with running(backend.app(), most=10, times=Times()) as server, ExitStack() as stack:
        silent = [stack.enter_context(server.connect(b"GET /che"))]
        server.has(1)
        silent += [stack.enter_context(server.connect()) for _ in range(30)]
        assert received(silent[0]) == b""  # closed long before its time
        for _ in range(5):
            assert ServerClient(server.port).request("GET", UNKNOWN).status == 404
        assert len(server.connections) <= 10
    records = [record for record in caplog.records if record.name == "urlsum.server"]
    assert [record.getMessage() for record in records] == ["MAX_CONNECTIONS (10) is reached"]


def test_a_malformed_request_a_thousand_times_is_one_line_of_log(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(200):
            assert server.exchange(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").startswith(b"HTTP/1.1 400")
            assert server.exchange(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
            ).startswith(b"HTTP/1.1 200")
    assert len([record for record in caplog.records if record.name == "uvicorn.error"]) <= 8


def test_a_stop_does_not_wait_for_silent_and_lingering_connections(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with running(backend.app(), times=Times(linger=60)) as server, ExitStack() as stack:
        stack.enter_context(server.connect())
        stack.enter_context(server.connect(b"GET /che"))
        lingering = stack.enter_context(server.connect(post("Content-Length: 2000000000")))
        assert lingering.recv(100).startswith(b"HTTP/1.1 413")
        server.has(3)
        server.server.should_exit = True
        server.thread.join(PATIENCE)
    assert not any("exceeded" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("sent", [b"", b"G"], ids=["silent", "a byte a second"])
def test_slowloris(tmp_path: Path, sent: bytes) -> None:
    """1,100 connections that never complete a request, against the whole server at the usual soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        try:
            server = stack.enter_context(SelfHosted(tmp_path, **ONE_WORKER))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < 2 * SILENT:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * SILENT, hard), hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            for _ in range(SILENT)
        ]
        slowest, until = 0.0, time.monotonic() + 12
        while time.monotonic() < until:
            for connection in connections if sent else ():
                with suppress(OSError):
                    connection.send(sent)
            began = time.monotonic()
            assert ServerClient(server.port).request("GET", UNKNOWN).status == 404
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(1)
        assert slowest < 2
        for connection in connections:  # all of them were closed meanwhile
            connection.settimeout(5)
            received(connection)
        assert server.output.count("\n") < 40, server.output


def test_without_a_free_descriptor_the_log_is_bounded_and_the_server_recovers(tmp_path: Path) -> None:
    with SelfHosted(tmp_path, **ONE_WORKER) as server:
        assert ServerClient(server.port).request("GET", UNKNOWN).status == 404
        pid = server.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())) + 5, limits[1]))
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            wait_until(
                lambda: "cannot accept connections: Too many open files" in server.output, 5, lambda: server.output
            )
            time.sleep(3)
            assert server.output.count("\n") < 20, server.output
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            assert ServerClient(server.port).request("GET", UNKNOWN).status == 404
