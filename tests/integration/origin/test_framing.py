"""How an answer is framed, and that no end is taken for one that is not proven."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.origin.conftest import UNHURRIED, Serve, client, read_all
from tests.support.origin.origin_server import (
    HANG,
    KEEP,
    LAST_CHUNK,
    RESET,
    Pause,
    Request,
    Steps,
    Trickle,
    answers,
    chunk,
    head,
)
from urlsum import __version__
from urlsum.deadline import Deadline
from urlsum.errors import (
    Changed,
    FailureCode,
    HttpFailed,
    Incomplete,
    OriginError,
    ProtocolViolated,
    TimedOut,
    TooCostly,
    TooLarge,
    Unverifiable,
)
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.task import Proof

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin.origin_server import Step

DATA = bytes(range(256)) * 300
LENGTH = f"Content-Length: {len(DATA)}"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "steps",
    [
        [head("200 OK", LENGTH), DATA],
        [head("200 OK", LENGTH) + DATA],
        [head("200 OK", LENGTH), DATA, HANG],
        [head("200", LENGTH), DATA],
        [head("200 ", LENGTH), DATA],
        [head("200 OK", "content-LENGTH:" + str(len(DATA)) + " \t"), DATA],
        [head("200 OK", f"Content-Length: 000{len(DATA)}"), DATA],
        [head("200 OK", LENGTH).replace(b"\r\n", b"\n"), DATA],
        [head("200 OK", LENGTH).replace(b"HTTP/1.1", b"HTTP/1.0"), DATA],
        [head("200 OK", LENGTH, "X-Folded: a", "  b"), DATA],
        [head("200 OK", LENGTH, "X-Latin: caf\xe9", "Set-Cookie: a=b", "Set-Cookie: c=d"), DATA],
        [head("200 OK", LENGTH), DATA, b"and more than was declared"],
        [head("200 OK", LENGTH), DATA[:1000], Pause(0.05), DATA[1000:]],
        [head("200 OK", CHUNKED), chunk(DATA), LAST_CHUNK],
        [head("200 OK", CHUNKED) + chunk(DATA) + LAST_CHUNK],
        [head("200 OK", "transfer-encoding: Chunked"), chunk(DATA), LAST_CHUNK],
        [
            head("200 OK", CHUNKED),
            *(chunk(DATA[at : at + 7]) for at in range(0, 700, 7)),
            chunk(DATA[700:]),
            LAST_CHUNK,
        ],
        [head("200 OK", CHUNKED), b"%x;name=value\r\n" % len(DATA), DATA, b"\r\n", LAST_CHUNK],
        [head("200 OK", CHUNKED), chunk(DATA), b"0\r\nX-Trailer: yes\r\n\r\n"],
        [head("200 OK", CHUNKED), chunk(DATA), LAST_CHUNK, b"and more after the end", HANG],
        [head("100 Continue"), head("200 OK", LENGTH), DATA],
        [head("103 Early Hints", "Link: </a>; rel=preload") * 3, head("200 OK", LENGTH), DATA],
        [head("102 Processing") + head("200 OK", LENGTH) + DATA],
        [Trickle(head("200 OK", LENGTH), every=0.001), DATA],
        [head("200 OK", LENGTH, *(f"X-{number}: y" for number in range(200))), DATA],
    ],
)
def test_a_whole_body_is_read_to_its_proven_end(serve: Serve, steps: Steps) -> None:
    with client().open(serve(answers(steps)).url()) as body:
        assert body.offset == 0
        received = b""
        while piece := body.read():
            received += bytes(piece)
        assert received == DATA
        assert body.size == len(DATA)
        assert len(body.read()) == 0


@pytest.mark.parametrize(
    "steps",
    [
        [head("200 OK", "Content-Length: 0")],
        [head("200 OK", "Content-Length: 0"), HANG],
        [head("200 OK", CHUNKED), LAST_CHUNK],
        [head("200 OK", CHUNKED) + LAST_CHUNK, HANG],
    ],
)
def test_an_empty_file_is_a_file(serve: Serve, steps: Steps) -> None:
    with client().open(serve(answers(steps)).url()) as body:
        assert len(body.read()) == 0
        assert body.size == 0


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        # Cut bodies.
        ([head("200 OK", LENGTH), DATA[:-1]], Incomplete),
        ([head("200 OK", LENGTH), DATA[: len(DATA) // 2]], Incomplete),
        ([head("200 OK", LENGTH), DATA[: len(DATA) // 2], RESET], Incomplete),
        ([head("200 OK", LENGTH)], Incomplete),
        ([head("200 OK", CHUNKED)], Incomplete),
        ([head("200 OK", CHUNKED), chunk(DATA)[:-2]], Incomplete),
        ([head("200 OK", CHUNKED), chunk(DATA)], Incomplete),
        ([head("200 OK", CHUNKED), chunk(DATA), b"0\r\n"], Incomplete),
        ([head("200 OK", CHUNKED), chunk(DATA)[:100], RESET], Incomplete),
        # Cut heads: never a success of no bytes.
        ([], Incomplete),
        ([RESET], Incomplete),
        ([b"H"], Incomplete),
        ([b"HTTP/1.1 200 OK"], Incomplete),
        ([b"HTTP/1.1 200 OK\r\n"], Incomplete),
        ([head("200 OK", LENGTH)[:-1]], Incomplete),
        ([head("200 OK", LENGTH)[:-2]], Incomplete),
        ([b"HTTP/1.1 200 OK\r\nContent-Le", RESET], Incomplete),
        ([head("100 Continue")], Incomplete),
        ([head("103 Early Hints")], Incomplete),
        # Broken chunks.
        ([head("200 OK", CHUNKED), b"xyz\r\n", DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"-5\r\n", DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"0x10\r\n", DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"\r\n", DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"f" * 21 + b"\r\n", DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"5\r\nabcdefgh\r\n", LAST_CHUNK], ProtocolViolated),
        ([head("200 OK", CHUNKED), b"5;" + b"x" * 100_000], ProtocolViolated),
        ([head("200 OK", CHUNKED), chunk(DATA), b"0\r\nno colon\r\n\r\n"], ProtocolViolated),
        ([head("200 OK", CHUNKED), chunk(DATA), b"0\r\n" + b"X: y\r\n" * 20_000], ProtocolViolated),
        # Lengths that are none.
        ([head("200 OK", "Content-Length: -5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: +5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: abc"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length:"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 1e3"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 0x10"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 5 5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 5", " 5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 5, 5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 5", "Content-Length: 5"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 5", "Content-Length: 6"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: 99999999999999999999"), DATA], ProtocolViolated),
        ([head("200 OK", "Content-Length: " + "9" * 5000), DATA], ProtocolViolated),
        # Malformed lines that may be the field that they look like.
        ([head("200 OK", "Content-Length : 5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "Content Length: 5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "Content-Length 5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "\xa0Content-Length: 5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "X-Folded: a", " Content-Length: 5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "Transfer-Encoding : chunked"), DATA], ProtocolViolated),
        ([head("200 OK", "Transfer-Encoding: chunked", " "), chunk(DATA), LAST_CHUNK], ProtocolViolated),
        ([head("200 OK", LENGTH, "Content-Range : bytes 0-4/5"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "Content-Encoding : gzip"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, 'ETag : "a"'), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, 'ETag: "a\x0cb"'), DATA], ProtocolViolated),
        ([head("302 Found", "Content-Length: 0", "Location : /elsewhere")], ProtocolViolated),
        ([head("200 OK", LENGTH, "HTTP/1.1 404 Not Found"), DATA], ProtocolViolated),
        ([head("103 Early Hints", "Content Length: 5"), head("200 OK", LENGTH), DATA], ProtocolViolated),
        # Two framings, or unknown ones.
        ([head("200 OK", LENGTH, CHUNKED), chunk(DATA), LAST_CHUNK], ProtocolViolated),
        ([head("200 OK", CHUNKED, CHUNKED), chunk(DATA), LAST_CHUNK], ProtocolViolated),
        ([head("200 OK", "Transfer-Encoding: gzip, chunked"), chunk(DATA), LAST_CHUNK], ProtocolViolated),
        ([head("200 OK", "Transfer-Encoding: identity"), DATA], ProtocolViolated),
        ([head("200 OK", "Transfer-Encoding: \x0bchunked"), DATA], ProtocolViolated),
        ([head("200 OK", CHUNKED).replace(b"/1.1", b"/1.0"), chunk(DATA), LAST_CHUNK], ProtocolViolated),
        # A body that only the end of the connection ends.
        ([head("200 OK"), DATA], Unverifiable),
        ([head("200 OK").replace(b"/1.1", b"/1.0"), DATA], Unverifiable),
        ([head("200 OK", "Connection: close")], Unverifiable),
        # Not HTTP/1.
        ([DATA], ProtocolViolated),
        ([b"<html>HTTP/0.9 has no head</html>"], ProtocolViolated),
        ([b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"], ProtocolViolated),
        ([b"HTTP/2 200\r\n\r\n"], ProtocolViolated),
        ([b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"], ProtocolViolated),
        ([b"ICY 200 OK\r\n\r\n"], ProtocolViolated),
        ([b"\x15\x03\x01\x00\x02\x02\x50"], ProtocolViolated),
        ([b"\r\n" + head("200 OK", LENGTH), DATA], ProtocolViolated),
        ([b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"], ProtocolViolated),
        ([b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"], ProtocolViolated),
        ([head("000 Nothing", "Content-Length: 0")], ProtocolViolated),
        ([head("101 Switching Protocols", "Upgrade: h2c")], ProtocolViolated),
        ([head("200 OK", LENGTH, "X-Nul: a\x00b"), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "X-Cr: a\rb"), DATA], ProtocolViolated),
        # Heads without end.
        ([head("200 OK", LENGTH, *(f"X-{number}: y" for number in range(5000))), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH, "X: " + "y" * 100_000), DATA], ProtocolViolated),
        ([head("200 OK", LENGTH)[:-2] + b"X: y\r\n" * 100_000], ProtocolViolated),
        ([head("100 Continue") * 50, HANG], ProtocolViolated),
        ([head("103 Early Hints") * 5000, HANG], ProtocolViolated),
    ],
)
def test_what_is_not_proven_is_refused(serve: Serve, steps: Steps, error: type[OriginError]) -> None:
    origin = serve(answers(steps))
    with pytest.raises(error) as caught:
        client().fetch(origin.url("/file?signature=secret"))
    assert type(caught.value) is error
    assert str(caught.value).startswith(origin.url("/file"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "X-Frame Options: DENY",
        "PHP Warning:  Undefined variable $etag in /var/www/get.php on line 3",
        "PHP Warning:  one\r\n  over two lines",
        "no colon here",
        ": no name",
        "X-Foo : bar",
        "X-F\xf6\xf6: bar",
        "X-\x01Foo: bar",
        "X-Foo: a\x0bb",
        "Last-Modified : Sun, 06 Nov 1994 08:49:37 GMT",
        "Connection : close",
        "Content Type: text/plain",
    ],
)
def test_a_malformed_line_that_touches_nothing_is_ignored(serve: Serve, line: str) -> None:
    for fields in ([line, LENGTH], [LENGTH, line], [line, LENGTH, line, "X-Foo: bar"]):
        assert client().fetch(serve(answers([head("200 OK", *fields), DATA])).url()) == DATA
    chunked: Steps = [head("103 Early Hints", line), head("200 OK", CHUNKED, line), chunk(DATA), LAST_CHUNK]
    assert client().fetch(serve(answers(chunked)).url()) == DATA


@pytest.mark.parametrize(("line", "connections"), [("X-Frame-Options: DENY", 1), ("X-Frame Options: DENY", 2)])
def test_a_connection_with_malformed_lines_carries_no_second_response(
    serve: Serve, line: str, connections: int
) -> None:
    origin = serve(lambda request: [head("200 OK", "Content-Length: 2", line), b"ok", KEEP])
    used = client()
    source = HttpSource(used.settings, Guard(used.settings, resolve=lambda host: [used.address]), tuning=UNHURRIED)
    for _ in range(2):
        with source.open(origin.url(), deadline=Deadline.after(20.0)) as body:
            assert read_all(body) == b"ok"
    assert origin.connections == connections


@pytest.mark.parametrize(
    "trailer",
    [
        "X-Stream-Error: context deadline exceeded",
        "X-Error: 1",
        "X-Amz-Error-Code: InternalError",
        "grpc-status: 13",
        "grpc-message: unavailable",
        "Status: 500",
        "X-Stream-Status: failed",
        "Proxy-Status: cdn.example; error=http_response_incomplete",
        "X-Complete: false",
        "X-Checksum-Status: mismatch",
        "X-Stream-State: broken",
        "X-Reason: upstream closed prematurely",
        "X-Bytes-Sent: 10",
        "Content-Length: 5",
        "X-Checksum: abc\r\nX-Stream-Error: EOF",
    ],
)
@pytest.mark.parametrize("fields", [[], ["Trailer: X-Stream-Error, grpc-status"]])
def test_an_error_after_the_last_chunk_is_incomplete(serve: Serve, trailer: str, fields: list[str]) -> None:
    last = f"0\r\n{trailer}\r\n\r\n".encode()
    pieces: list[Steps] = [[chunk(DATA) + last], [chunk(DATA), last], [chunk(DATA), Trickle(last, every=0.001)], [last]]
    for steps in pieces:
        origin = serve(answers([head("200 OK", CHUNKED, *fields), *steps]))
        with pytest.raises(Incomplete, match=r"trailer|after the last chunk"):
            client().fetch(origin.url())


def test_another_etag_after_the_last_chunk_is_another_version(serve: Serve) -> None:
    steps: Steps = [head("200 OK", CHUNKED, 'ETag: "a"'), chunk(DATA), b'0\r\nETag: "b"\r\n\r\n']
    with pytest.raises(Changed, match="the ETag changed"):
        client().fetch(serve(answers(steps)).url())


@pytest.mark.parametrize(
    "trailer",
    [
        "X-Stream-Error:",
        "grpc-status: 0",
        "grpc-status: 0\r\ngrpc-message: all of it",
        "Status: 200",
        "Server-Timing: db;dur=53",
        "Content-MD5: XrY7u+Ae7tCTyyK7j1rNww==",
        f"Content-Length: {len(DATA)}",
        f"X-Bytes-Sent: {len(DATA)}",
        "X-Fail-Over: node2",
        "X-Served-By: error-free",
        'ETag: "a"',
    ],
)
def test_a_trailer_that_tells_of_no_error_is_ignored(serve: Serve, trailer: str) -> None:
    fields = ["Trailer: X-Stream-Error", 'ETag: "a"']
    steps: Steps = [head("200 OK", CHUNKED, *fields), chunk(DATA), f"0\r\n{trailer}\r\n\r\n".encode()]
    assert client().fetch(serve(answers(steps)).url()) == DATA


@pytest.mark.parametrize("field", ["grpc-status: 13", "X-Stream-Error: EOF"])
def test_an_error_in_the_head_is_incomplete(serve: Serve, field: str) -> None:
    """The "Trailers-Only" of gRPC: the head is the end, too."""
    bodies: list[Steps] = [
        [head("200 OK", "Content-Length: 0", field)],
        [head("200 OK", LENGTH, field), DATA],
        [head("200 OK", CHUNKED, field), chunk(DATA), LAST_CHUNK],
    ]
    for steps in bodies:
        with pytest.raises(Incomplete, match="the server reported an error in the response head"):
            client().fetch(serve(answers(steps)).url())
    whole: Steps = [head("200 OK", LENGTH, "grpc-status: 0", "X-Stream-Error:"), DATA]
    assert client().fetch(serve(answers(whole)).url()) == DATA


def test_a_declared_trailer_may_stay_away(serve: Serve) -> None:
    steps: Steps = [head("200 OK", CHUNKED, "Trailer: X-Stream-Error"), chunk(DATA), LAST_CHUNK]
    assert client().fetch(serve(answers(steps)).url()) == DATA


@pytest.mark.parametrize("line", ["X-Stream Error: EOF", "X-Frame Options: DENY", "PHP Fatal error:  Out of memory"])
def test_a_malformed_trailer_is_refused(serve: Serve, line: str) -> None:
    # After the last chunk a stray line is no leftover of a configuration: a program wrote it as the body ended.
    steps: Steps = [head("200 OK", CHUNKED), chunk(DATA), f"0\r\n{line}\r\n\r\n".encode()]
    with pytest.raises(ProtocolViolated, match=r"illegal header line$"):
        client().fetch(serve(answers(steps)).url())


def test_no_byte_of_a_broken_response_stands_in_the_message(serve: Serve) -> None:
    broken: list[Steps] = [
        [b"HTTP/1.1 secret\r\n\r\n"],
        [head("200 OK", "Transfer-Encoding: secret")],
        [head("200 OK", CHUNKED), b"secret\r\n"],
        [head("200 OK", CHUNKED), b"1\r\nasecret\r\n"],
        [head("200 OK", CHUNKED), b"0\r\nsecret\r\n\r\n"],
        [head("200 OK", CHUNKED), b"0\r\nX-Secret-Error: secret\r\n\r\n"],
    ]
    for steps in broken:
        with pytest.raises(OriginError) as caught:
            client().fetch(serve(answers(steps)).url())
        assert "secret" not in str(caught.value).lower()


@pytest.mark.parametrize(
    "status", [201, 202, 203, 204, 205, 226, 300, 304, 305, 400, 403, 404, 410, 416, 429, 500, 503, 600, 999]
)
def test_only_200_is_the_file(serve: Serve, status: int) -> None:
    origin = serve(answers([head(f"{status} Whatever", "Content-Length: 4"), b"page"]))
    if status == 304:  # answers a condition, and there was none
        with pytest.raises(ProtocolViolated, match="304"):
            client().fetch(origin.url())
        return
    with pytest.raises(HttpFailed, match=str(status)) as caught:
        client().fetch(origin.url())
    assert caught.value.status == status
    assert caught.value.retry_after is None


def test_a_part_that_nobody_asked_for_is_refused(serve: Serve) -> None:
    steps: Steps = [head("206 Partial Content", "Content-Range: bytes 0-9/20", "Content-Length: 10"), DATA[:10]]
    with pytest.raises(ProtocolViolated, match="were sent as the whole file"):
        client().fetch(serve(answers(steps)).url())


def test_retry_after_is_handed_on(serve: Serve) -> None:
    steps: Steps = [head("503 Busy", "Retry-After: 120", "Content-Length: 0")]
    with pytest.raises(HttpFailed) as caught:
        client().fetch(serve(answers(steps)).url())
    assert caught.value.retry_after == 120


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["Retry-After: 5", "Retry-After: 120"], 120),
        (["Retry-After: 120, 5"], 120),
        (["Retry-After: soon", "Retry-After: 0.5"], 0.5),
        (["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", "Date: Sun, 06 Nov 1994 08:49:07 GMT", "Date: now"], 30),
    ],
)
def test_the_longest_of_several_waits_is_kept(serve: Serve, lines: list[str], seconds: float) -> None:
    with pytest.raises(HttpFailed) as caught:
        client().fetch(serve(answers([head("503 Busy", *lines, "Content-Length: 0")])).url())
    assert caught.value.retry_after == seconds


def test_a_date_that_a_proxy_added_is_no_second_version(serve: Serve) -> None:
    dates = ["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Date: Sun, 06 Nov 1994 08:49:38 GMT"]
    assert client().fetch(serve(answers([head("200 OK", LENGTH, *dates), DATA])).url()) == DATA


def test_two_last_modified_dates_are_no_date_and_no_fault(serve: Serve) -> None:
    dates = ["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT"]
    with client().open(serve(answers([head("200 OK", LENGTH, *dates), DATA])).url()) as body:
        assert read_all(body) == DATA
        assert body.proof is Proof.LENGTH


def test_a_cut_says_where_it_was(serve: Serve) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 3145728"), bytes(2**20)]
    with pytest.raises(Incomplete, match=r"the connection was cut at 1\.0 MiB of 3\.0 MiB"):
        client().fetch(serve(answers(steps)).url())


def test_what_came_before_a_cut_is_read_before_the_cut_is_told(serve: Serve) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 3145728"), bytes(100_000)]
    pieces: list[int] = []
    with client().open(serve(answers(steps)).url()) as body, pytest.raises(Incomplete):
        pieces.extend(len(view) for view in iter(body.read, None))
    assert sum(pieces) == 100_000


def test_a_declared_length_over_the_cap_is_refused_before_the_body(serve: Serve) -> None:
    steps: Steps = [head("200 OK", "Content-Length: 1001"), HANG]
    with pytest.raises(TooLarge, match="MAX_BYTES"):
        client(max_bytes=1000).open(serve(answers(steps)).url())


def test_a_chunked_body_over_the_cap_is_refused_while_it_is_counted(serve: Serve) -> None:
    steps: Steps = [head("200 OK", CHUNKED), chunk(DATA), HANG]
    with pytest.raises(TooLarge, match="the file is larger than 1000 B"):
        client(max_bytes=1000).fetch(serve(answers(steps)).url())


def test_one_byte_over_the_cap_is_over_it(serve: Serve) -> None:
    steps: Steps = [head("200 OK", CHUNKED), chunk(DATA), LAST_CHUNK]
    with pytest.raises(TooLarge):
        client(max_bytes=len(DATA) - 1).fetch(serve(answers(steps)).url())


def test_a_file_of_exactly_the_cap_is_read(serve: Serve) -> None:
    steps: Steps = [head("200 OK", LENGTH), DATA]
    assert client(max_bytes=len(DATA)).fetch(serve(answers(steps)).url()) == DATA
    chunks: Steps = [head("200 OK", CHUNKED), chunk(DATA), LAST_CHUNK]
    assert client(max_bytes=len(DATA)).fetch(serve(answers(chunks)).url()) == DATA


def test_a_coding_that_was_not_asked_for_is_not_undone(serve: Serve) -> None:
    zipped = b"\x1f\x8b\x08\x00 not even a whole gzip stream"
    steps: Steps = [head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(zipped)}"), zipped]
    assert client().fetch(serve(answers(steps)).url()) == zipped


def test_an_early_answer_counts_although_the_request_was_not_taken(serve: Serve) -> None:
    steps: Steps = [head("414 URI Too Long", "Content-Length: 0")]
    with pytest.raises(HttpFailed):
        client().fetch(serve(answers(steps)).url("/" + "a" * 8000))


def test_an_answer_with_two_different_values_of_one_field_is_refused(serve: Serve) -> None:
    steps: Steps = [head("200 OK", LENGTH, 'ETag: "a"', 'ETag: "b"'), DATA]
    with pytest.raises(ProtocolViolated, match="the response has two different ETag fields"):
        client().fetch(serve(answers(steps)).url())


def test_the_request_says_who_asks_and_nothing_that_identifies_the_user(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    origin = serve(answers([head("200 OK", LENGTH, "Set-Cookie: a=b"), DATA]))
    client(public_url="https://urlsum.example/").fetch(origin.url("/a%20b?c=d#e"))
    request = origin.requests[0]
    assert (request.method, request.path) == ("GET", "/a%20b?c=d")
    assert request.fields == {
        "host": f"127.0.0.1:{origin.port}",
        "user-agent": f"urlsum/{__version__} (+https://urlsum.example/)",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_ipv6_literals_are_bracketed_in_the_host_field(serve: Serve) -> None:
    origin = serve(answers([head("200 OK", LENGTH), DATA]), host="::1")
    assert client().fetch(origin.url()) == DATA
    assert origin.requests[0].fields["host"] == f"[::1]:{origin.port}"


def test_an_endless_answer_ends_with_the_read_time_out(serve: Serve) -> None:
    with pytest.raises(TimedOut):
        client(read_timeout=0.3).fetch(serve(answers([head("100 Continue"), HANG])).url())


@pytest.mark.parametrize(
    "piece",
    [b"1\r\nx\r\n", b"1;" + b"e" * 400 + b"\r\nx\r\n"],
    ids=["chunks of one byte", "long extensions around one byte"],
)
def test_a_flood_of_tiny_chunks_ends_after_some_seconds_of_cpu_time(serve: Serve, piece: bytes) -> None:
    """It took a core, for 113 KB of the file per second, until the file ended."""
    block = piece * 8192

    def script(request: Request) -> Iterator[Step]:
        yield head("200 OK", CHUNKED)
        while True:
            yield block

    origin = serve(script)
    before = time.thread_time()
    words = "the file comes in pieces of very few bytes, at "
    with client().open(origin.url(), seconds=60) as body, pytest.raises(TooCostly, match=words) as caught:
        read_all(body)
    assert time.thread_time() - before < 5
    assert caught.value.code is FailureCode.PROTOCOL


@pytest.mark.parametrize("size", [30, 80])
def test_a_server_that_sends_each_line_as_a_chunk_is_read(serve: Serve, size: int) -> None:
    lines = chunk(b"x" * size) * (3 * 2**20 // size)
    with client().open(serve(answers([head("200 OK", CHUNKED), lines, LAST_CHUNK])).url(), seconds=60) as body:
        assert len(read_all(body)) == 3 * 2**20 // size * size
