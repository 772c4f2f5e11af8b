"""What one client may do with its connection to the self-hosted server: slow, endless and ambiguous requests."""

from __future__ import annotations

import json
import socket
import statistics
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING

import pytest

from selfhost.connections import Connections
from selfhost.http_protocol import LINGER_BYTES, LimitedProtocol
from tests.support.web.clients import FORM, ServerClient
from tests.support.web.limited_server import PATIENCE, UNKNOWN, Running, post, received, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.connections import Evictable
    from tests.integration.web.conftest import Backend

pytestmark = pytest.mark.slow


@pytest.fixture
def server(backend: Backend) -> Iterator[Running]:
    with running(backend.app()) as made:
        yield made


class Noting(Connections):
    """Notes the option of each accepted socket."""

    def __init__(self) -> None:
        super().__init__(10, 0)
        self.without_delay: list[int] = []

    def add(self, connection: Evictable, address: str | None) -> bool:
        assert isinstance(connection, LimitedProtocol)
        accepted = connection.transport.get_extra_info("socket")
        self.without_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return super().add(connection, address)


def test_nagles_algorithm_is_off_on_every_connection(backend: Backend) -> None:
    with running(backend.app(), connections=(noting := Noting())) as server:
        assert ServerClient(server.port).request("GET", UNKNOWN).status == 404
    assert noting.without_delay == [1]


def test_a_request_on_a_kept_connection_does_not_wait_for_a_delayed_acknowledgement(server: Running) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as kept:
        seconds = []
        for _ in range(40):
            began = time.perf_counter()
            kept.request("GET", UNKNOWN)
            assert kept.getresponse().read()
            seconds.append(time.perf_counter() - began)
    # Linux acknowledges the first segments of a connection at once, and later delays an ACK by 40 ms. The fastest
    # quarter of the rest tells the two apart on a loaded machine too.
    assert statistics.quantiles(seconds[20:], n=4)[0] < 0.035


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"GET /check HTT", b"HTTP/1.1 408"),
        (b"GET /check HTTP/1.1\r\nHost: localhost\r\n", b"HTTP/1.1 408"),
        (post("Content-Length: 100", body=b"url="), b"HTTP/1.1 408"),
        (post("Transfer-Encoding: chunked", body=b"4\r\nurl="), b"HTTP/1.1 408"),
        # The rest of a second, pipelined request.
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + post("Content-Length: 100", body=b"url="), b"HTTP/1.1 200"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /che", b"HTTP/1.1 200"),
    ],
)
def test_a_request_that_does_not_end_is_ended(backend: Backend, sent: bytes, answered: bytes) -> None:
    with running(backend.app()) as server:
        server.server.config.timeout_keep_alive = 1
        began = time.monotonic()
        answer = server.exchange(sent)
        assert answer.startswith(answered)
        assert bool(answer) is bool(answered)
        assert 0.8 < time.monotonic() - began < 6
        server.has(0)
    assert backend.queue.sent == []


def test_a_byte_now_and_then_buys_no_time(server: Running) -> None:
    with server.connect() as connection:
        began = time.monotonic()
        with suppress(ConnectionError):
            for at in range(1000):
                connection.sendall(post("X: " + "x" * 1000)[at : at + 1])
                time.sleep(0.05)
        assert time.monotonic() - began < 6
    server.has(0)


def test_a_kept_connection_has_the_whole_time_for_its_next_request(server: Running) -> None:
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.6)  # longer than SHORT.request, taken together
            connection.sendall(b"Host: localhost\r\n\r\n")
            response = HTTPResponse(connection)
            response.begin()
            assert (response.status, response.read()[:1]) == (200, b"{")


def test_a_late_request_is_answered_with_a_problem(server: Running) -> None:
    head, _, body = server.exchange(b"GET /check HTTP/1.1\r\n").partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {
        "type": "urn:urlsum:problem:request-timeout",
        "title": "The request took too long",
        "status": 408,
        "detail": "The request was not complete within 1 seconds. Send it again.",
    }


def test_a_client_that_does_not_read_is_left(backend: Backend) -> None:
    with running(backend.app()) as server, server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\nGET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.setblocking(False)
        with suppress(BlockingIOError, ConnectionError):
            while True:
                connection.send(request * 100)
        server.has(0)


def push(connection: socket.socket, seconds: float) -> int:
    """Send as fast as the server takes it; return how many bytes it was."""
    count, until = 0, time.monotonic() + seconds
    piece = bytes(65536)
    with suppress(OSError):
        while time.monotonic() < until:
            count += connection.send(piece)
    return count


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post("Content-Length: 2000000000"), 413),
        (post("Transfer-Encoding: chunked", body=b"7fffffff\r\n"), 413),
        (post("Content-Length: 2000000000").replace(b"/submit", b"/elsewhere"), 404),
        (post("Content-Length: 2000000000").replace(b"POST", b"PUT"), 405),
        (post("Content-Length: 2000000000").replace(b"POST /submit", b"GET /"), 200),
        (post("Content-Length: 2000000000", "Sec-Fetch-Site: cross-site"), 403),
    ],
)
def test_after_an_early_response_the_connection_is_closed(server: Running, request_: bytes, status: int) -> None:
    with server.connect(request_) as connection:
        connection.settimeout(2)
        began = time.monotonic()
        pushed = push(connection, 5)
        assert time.monotonic() - began < 4
        # What the server reads, and what both kernels buffer: some MB on loopback.
        assert pushed < LINGER_BYTES + 16 * 2**20
    with server.connect(request_ + bytes(100_000)) as connection:
        head = received(connection).partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 %d" % status)
    assert b"connection: close" in head
    server.has(0)


def test_a_client_that_reads_only_after_it_has_sent_everything_sees_why_it_was_refused(server: Running) -> None:
    answer = ServerClient(server.port).post(b"url=" + b"x" * 500_000)
    assert (answer.status, answer.json()["type"]) == (413, "urn:urlsum:problem:body-too-large")


def test_a_body_that_was_read_keeps_the_connection(server: Running) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as kept:
        for _ in range(2):
            kept.request("POST", "/submit", b"url=ftp://example.org", {"Content-Type": FORM})
            response = kept.getresponse()
            assert (response.status, response.read()[:1], response.getheader("Connection")) == (422, b"{", None)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
        post("Transfer-Encoding: chunked", f"Content-Length: {len(SMUGGLED)}", body=b"0\r\n\r\n" + SMUGGLED),
        post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"5\r\nurl=h"),
        post("Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        post("Content-Length: 5", "Transfer-Encoding: chunked").replace(b"POST", b"HEAD"),
        post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + SMUGGLED),
        post("Content-Length: 5", "Content-Length: 6", body=b"url=h" + SMUGGLED),
        post("Content-Length: +5", body=b"url=h" + SMUGGLED),
        post("Content-Length: 5", "Transfer-Encoding : chunked", body=b"0\r\n\r\n" + SMUGGLED),
        post("Transfer-Encoding: chunked", body=b"zz\r\n" + SMUGGLED),
    ],
)
def test_a_request_with_two_framings_is_refused_and_nothing_after_it_is_read(
    server: Running, backend: Backend, request_: bytes
) -> None:
    answer = server.exchange(request_)
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert backend.queue.sent == []
    server.has(0)
