"""Connections that carry one file after the other, and those that must not."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import UNHURRIED, Serve, read_all, server_context
from tests.support.origin.origin_server import HANG, KEEP, LAST_CHUNK, RESET, File, Pause, Request, Steps, chunk, head
from urlsum.deadline import Deadline
from urlsum.errors import Blocked, HttpFailed, Incomplete, OriginError, ProtocolViolated
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.origin.version.version import Overlap, Version
from urlsum.setting_values import Networks
from urlsum.settings import parse
from urlsum.task import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from urlsum.origin.tuning import Tuning

CHUNKED = "Transfer-Encoding: chunked"
OK: Steps = [head("200 OK", "Content-Length: 2"), b"ok", KEEP]
IN_CHUNKS: Steps = [head("200 OK", CHUNKED), chunk(b"ok"), LAST_CHUNK, KEEP]
WITH_TRAILERS: Steps = [head("200 OK", CHUNKED), chunk(b"ok"), b"0\r\nX-Took: 1\r\n\r\n", KEEP]


def opened(*, tuning: Tuning = UNHURRIED, **settings: object) -> HttpSource:
    given: dict[str, object] = {"allowed_networks": "127.0.0.0/8", "read_timeout": 2.0, **settings}
    made = parse(given)
    return HttpSource(made, Guard(made, resolve=lambda host: ["127.0.0.1"]), tuning=tuning)


def fetch(origin: HttpSource, url: str) -> bytes:
    with origin.open(url, deadline=Deadline.after(10)) as body:
        return read_all(body)


def test_a_process_with_more_than_a_thousand_files_open_reuses_them_too(serve: Serve) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this host lets a process open fewer than 2048 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < 1100:  # select(2) takes descriptors up to 1023
            held.append(os.open(os.devnull, os.O_RDONLY))
        server = serve(lambda request: OK)
        origin = opened()
        for _ in range(3):
            assert fetch(origin, server.url()) == b"ok"
        assert server.connections == 1
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("steps", [OK, IN_CHUNKS, WITH_TRAILERS])
def test_one_connection_serves_file_after_file(serve: Serve, steps: Steps) -> None:
    server, origin = serve(lambda request: steps), opened()
    assert [fetch(origin, server.url(f"/{number}")) for number in range(5)] == [b"ok"] * 5
    assert server.connections == 1
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", f"/{number}") for number in range(5)
    ]


def test_over_tls_too(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    server = serve(lambda request: OK, tls=server_context(authority.issue_cert("a.example", "b.example")))
    origin = opened(ssl_cert_file=ca_file)
    assert [fetch(origin, server.url(host="a.example")) for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1
    # The same address, but another name: its certificate was not asked for.
    fetch(origin, server.url(host="b.example"))
    assert server.connections == 2


@pytest.mark.parametrize(
    "steps",
    [
        [head("200 OK", "Content-Length: 2", "Connection: close"), b"ok", HANG],
        [head("200 OK", "Content-Length: 2").replace(b"/1.1", b"/1.0"), b"ok", HANG],
        [head("200 OK", "Content-Length: 2") + b"ok and more than that", HANG],
        [head("200 OK", "Content-Length: 2"), b"ok"],
        [head("200 OK", CHUNKED, "Connection: close"), chunk(b"ok"), LAST_CHUNK, HANG],
        [head("200 OK", CHUNKED), chunk(b"ok"), LAST_CHUNK + b"and more than that", HANG],
        [head("200 OK", CHUNKED) + chunk(b"ok") + LAST_CHUNK + b"and more than that", HANG],
        [head("200 OK", CHUNKED) + chunk(b"ok") + LAST_CHUNK + head("200 OK", "Content-Length: 3") + b"bad", KEEP],
        [head("200 OK", CHUNKED), chunk(b"ok"), b"0\r\nX-Took: 1\r\n\r\nand more than that", HANG],
        [head("200 OK", CHUNKED), chunk(b"ok"), LAST_CHUNK + b"\r\n", KEEP],
        [head("200 OK", CHUNKED), chunk(b"ok"), LAST_CHUNK],
    ],
    ids=[
        "says that it closes",
        "HTTP/1.0",
        "sends more than it said",
        "closes without a word",
        "says that it closes after chunks",
        "sends more after the last chunk",
        "sends it all at once",
        "sends a response that nobody asked for",
        "sends more after trailers",
        "sends one more empty line",
        "closes after chunks",
    ],
)
def test_what_cannot_carry_another_file_is_not_used_again(serve: Serve, steps: Steps) -> None:
    server, origin = serve(lambda request: steps), opened()
    for _ in range(3):
        assert fetch(origin, server.url()) == b"ok"
        time.sleep(0.02)
    assert server.connections == 3


@pytest.mark.parametrize("steps", [OK, IN_CHUNKS, WITH_TRAILERS], ids=["length", "chunks", "trailers"])
@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"\r\n", b"x"])
def test_bytes_that_nobody_asked_for_end_a_connection(serve: Serve, steps: Steps, more: bytes) -> None:
    late: Steps = [*steps[:-1], Pause(0.05), more, KEEP]
    server, origin = serve(lambda request: late if request.connection == 0 else OK), opened()
    assert fetch(origin, server.url()) == b"ok"
    time.sleep(0.2)
    assert fetch(origin, server.url()) == b"ok"
    assert server.connections == 2


def test_what_tls_still_holds_is_not_taken_for_an_answer(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    # The end of the body and what comes behind it share a record, which is no longer on the socket.
    body = bytes(1000)
    late = head("200 OK", f"Content-Length: {len(body)}") + body + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    server = serve(lambda request: [late, KEEP], tls=server_context(authority.issue_cert("127.0.0.1")))
    origin = opened(ssl_cert_file=ca_file)
    assert [fetch(origin, server.url()) for _ in range(3)] == [body] * 3
    assert server.connections == 3


@pytest.mark.parametrize("behind", [b"", b"stray", b"\r\n"])
@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified", "404 Not Found"])
def test_a_response_without_a_file_takes_its_connection_along(serve: Serve, status: str, behind: bytes) -> None:
    """What has no body by its status may have one in some server's view (RFC 9112, 6.3)."""
    none: Steps = [head(status, "Content-Length: 0") + behind, KEEP]
    server, origin = serve(lambda request: none if request.path == "/none" else OK), opened()
    for _ in range(2):
        with pytest.raises((HttpFailed, ProtocolViolated)):
            fetch(origin, server.url("/none"))
        assert fetch(origin, server.url()) == b"ok"
    assert server.connections == 3  # and the one that had brought the file waits for the second "/none"


@pytest.mark.parametrize("framing", ["Content-Length: 136", CHUNKED])
@pytest.mark.parametrize("behind", [b"", b"stray", head("200 OK", "Content-Length: 3") + b"bad"])
def test_what_follows_a_part_is_no_answer_either(serve: Serve, framing: str, behind: bytes) -> None:
    """A resumed download asks again for its closing proof, over the connection that brought the part."""
    content, etag = bytes(range(200)), 'ETag: "v1"'

    def script(request: Request) -> Steps:
        if "if-range" not in request.fields:
            return [*File(content)(request), KEEP]
        part = content[64:]
        body = part if framing != CHUNKED else chunk(part) + LAST_CHUNK
        return [head("206 Partial Content", etag, "Content-Range: bytes 64-199/200", framing) + body + behind, KEEP]

    server, origin = serve(script), opened()
    known = Version('"v1"', size=200, tail=Overlap.of(content[64:128], 128))
    with origin.open(server.url(), deadline=Deadline.after(10), resume=Checkpoint(128, b"", known.dump())) as body:
        assert (body.offset, read_all(body)) == (128, content[128:])
    assert server.connections == 1 + bool(behind)


@pytest.mark.parametrize(
    "broken",
    [
        [head("200 OK", "Content-Length: 3"), b"ok", RESET],
        [head("200 OK", "Content-Length: 3"), b"ok", HANG],
        [head("200 OK", "Content-Length: 3"), b"ok"],
        [head("200 OK", "Content-Length: 3000000"), bytes(2_000_000), HANG],
        [head("200 OK", CHUNKED), chunk(b"ok"), RESET],
        [head("200 OK", CHUNKED), chunk(b"ok"), HANG],
        [head("200 OK", CHUNKED), chunk(b"ok") + b"nonsense", KEEP],
        [head("200 OK", CHUNKED), chunk(b"ok") + b"0\r\nnonsense\r\n\r\n", KEEP],
        [head("200 OK", CHUNKED), chunk(b"ok") + b"0\r\nX-Stream-Error: EOF\r\n\r\n", KEEP],
        [head("200 OK", "Content-Length: 2", "Content-Length: 3"), b"ok", KEEP],
        [head("200 OK", "Content-Length: 2", 'ETag: "a"', 'ETag: "b"'), b"ok", KEEP],
        [head("200 OK"), b"ok", KEEP],
        [head("302 Found", "Location: nowhere:", "Content-Length: 0"), KEEP],
        [head("100 Continue"), HANG],
        [b"HTTP/1.1 200", HANG],
        [b"nonsense", KEEP],
        [HANG],
        [RESET],
    ],
)
def test_a_connection_that_broke_carries_nothing_more(serve: Serve, broken: Steps) -> None:
    server = serve(lambda request: broken if request.path == "/broken" and request.connection < 2 else OK)
    origin = opened(read_timeout=0.5)
    for _ in range(2):
        with pytest.raises(OriginError):
            fetch(origin, server.url("/broken"))
    assert server.connections == 2
    assert fetch(origin, server.url()) == b"ok"
    assert server.connections == 3


@pytest.mark.parametrize("last", [[], [RESET]])
def test_a_connection_that_dies_before_a_byte_of_the_answer_is_replaced(serve: Serve, last: Steps) -> None:
    def script(request: Request) -> Steps:
        return last if request.connection == 0 and request.path == "/second" else OK

    server, origin = serve(script), opened()
    fetch(origin, server.url("/first"))
    assert fetch(origin, server.url("/second")) == b"ok"
    assert server.connections == 2


def test_it_is_replaced_once_and_not_for_ever(serve: Serve) -> None:
    answer: dict[str, Steps] = {"/second": []}
    server, origin = serve(lambda request: answer.get(request.path, OK)), opened()
    fetch(origin, server.url("/first"))
    with pytest.raises(Incomplete):
        fetch(origin, server.url("/second"))
    assert server.connections == 2


@pytest.mark.parametrize("stray", [b"\r\n", b"\r\n\r\n", b"\n", b"more", b"0\r\n\r\n", b"HTTP/2"])
def test_the_rest_of_an_earlier_response_costs_only_the_connection(serve: Serve, stray: bytes) -> None:
    served: set[int] = set()

    def script(request: Request) -> Steps:
        later = request.connection in served
        served.add(request.connection)
        return [stray, Pause(0.02), *OK] if later else OK

    server, origin = serve(script), opened()
    for _ in range(3):
        assert fetch(origin, server.url()) == b"ok"
    assert server.connections == 3
    assert len(server.requests) == 5


@pytest.mark.parametrize(("interim", "requests"), [(b"", 3), (head("103 Early Hints"), 2)])
def test_stray_bytes_that_follow_no_response_are_refused(serve: Serve, interim: bytes, requests: int) -> None:
    """Neither on a new connection nor between two heads are they the rest of an earlier response."""
    served: list[Request] = []

    def script(request: Request) -> Steps:
        served.append(request)
        return OK if len(served) == 1 else [interim + b"\r\n", *OK]

    server, origin = serve(script), opened()
    assert fetch(origin, server.url()) == b"ok"
    with pytest.raises(ProtocolViolated):
        fetch(origin, server.url())
    assert len(served) == requests


def test_an_answer_that_had_begun_is_not_asked_for_again(serve: Serve) -> None:
    def script(request: Request) -> Steps:
        return [b"HTTP/1.1 200 OK\r\nConte"] if request.path == "/second" else OK

    server, origin = serve(script), opened()
    fetch(origin, server.url("/first"))
    with pytest.raises(Incomplete):
        fetch(origin, server.url("/second"))
    assert server.connections == 1


def test_a_body_that_was_not_read_to_its_end_ends_the_connection(serve: Serve) -> None:
    long: Steps = [head("200 OK", "Content-Length: 3000000"), bytes(3_000_000), KEEP]
    server, origin = serve(lambda request: OK if request.connection else long), opened()
    with origin.open(server.url(), deadline=Deadline.after(10)) as body:
        body.read()
    fetch(origin, server.url())
    assert server.connections == 2


def test_what_waited_too_long_is_not_used(serve: Serve) -> None:
    server, origin = serve(lambda request: OK), opened(tuning=replace(UNHURRIED, idle_seconds=0.05))
    fetch(origin, server.url())
    time.sleep(0.1)
    fetch(origin, server.url())
    assert server.connections == 2


def test_only_so_many_wait(serve: Serve) -> None:
    servers = [serve(lambda request: OK) for _ in range(3)]
    origin = opened(tuning=replace(UNHURRIED, idle_connections=2))
    for server in (*servers, *reversed(servers)):
        fetch(origin, server.url())
    assert [server.connections for server in servers] == [2, 1, 1]


def test_the_guard_judges_every_url_although_a_connection_waits(serve: Serve) -> None:
    server = serve(lambda request: OK)
    made = parse({"allowed_networks": "127.0.0.0/8"})
    guard = Guard(made)
    origin = HttpSource(made, guard, tuning=UNHURRIED)
    fetch(origin, server.url())
    guard._allowed_networks = Networks()
    with pytest.raises(Blocked):
        fetch(origin, server.url())
