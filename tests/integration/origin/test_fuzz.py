"""Whatever bytes an origin answers with, they end as an OriginError or as the body that they declare."""

from __future__ import annotations

import re
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from urlsum.deadline import Deadline
from urlsum.errors import OriginError
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.connection import Connection
from urlsum.origin.http11.stream import ConnectionClosed, NetworkStream

BODY = b"0123456789"
# A well-formed Content-Length is no junk.
PLAIN_LENGTH = re.compile(rb"(?i)^content-length:", re.MULTILINE)
LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 999 ",
        b"Content-Length: 10",
        b"Content-Length: 11",
        b"content-length:10 ",
        b"Content-Length: 10, 10",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked, chunked",
        b" folded",
        b":",
        b"",
        b"a\r\n0",
        b"A: \xff\x00",
        b"A B: c",
        b"A : b",
        b"Content-Length : 10",
        b"Content Length: 10",
        b"junk",
    ]
)
HEADS = st.builds(
    lambda lines, end: end.join(lines) + end + end,
    st.lists(LINES, max_size=8),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\n\r"]),
)
ANSWERS = st.one_of(
    st.binary(max_size=200), HEADS, st.builds(lambda *parts: b"".join(parts), HEADS, st.binary(max_size=50))
)


def exchange(answer: bytes) -> tuple[int | None, bytes]:
    """The length that was taken for declared, and the body that was read to a proven end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        stream = NetworkStream(ours, read_timeout=5.0, deadline=Deadline.after(5.0))
        connection = Connection(parse("http://example.org/"), stream)
        head = connection.get([])
        if head.length is None and not head.chunked:
            return None, b""
        received, view = b"", memoryview(bytearray(64))
        while count := connection.read_into(view):
            received += bytes(view[:count])
        return head.length, received


@settings(max_examples=400, deadline=None)
@given(ANSWERS)
def test_no_answer_gets_past_the_two_outcomes(answer: bytes) -> None:
    try:
        length, received = exchange(answer)
    except (OriginError, ConnectionClosed):
        return
    assert length is None or len(received) == length


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(0, 2000))
def test_a_cut_chunked_body_is_never_taken_for_whole(pieces: list[bytes], at: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    try:
        _, received = exchange(whole[:at])
    except (OriginError, ConnectionClosed):
        assert at < len(whole)
    else:
        assert at >= len(whole)
        assert received == b"".join(pieces)


WHOLE = [b"HTTP/1.1 200 OK", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Content-Length: 10", b'ETag: "a"']
JUNK = st.one_of(
    # Without an empty line, which would be the end of the head.
    st.binary(min_size=1, max_size=40).filter(lambda junk: b"\n" not in junk and junk != b"\r"),
    st.builds(
        lambda before, name, after: before + name + after,
        st.sampled_from([b"", b" ", b"X ", b"\t", b"\xa0", b"\x0b"]),
        st.sampled_from(
            [b"Content-Length", b"content length", b"Transfer-Encoding", b"X-Foo", b"PHP Warning", b"ETag"]
        ),
        st.sampled_from(
            [b" : 5", b"\t: chunked", b" 5", b"=5", b"\x01: 5", b":5\r\n 5", b": a\x0b", b": a\rContent-Length: 5"]
        ),
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    JUNK.filter(lambda junk: not PLAIN_LENGTH.search(junk)),
    st.integers(1, len(WHOLE)),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_a_malformed_line_never_changes_how_the_rest_is_framed(junk: bytes, at: int, end: bytes) -> None:
    answer = end.join([*WHOLE[:at], junk, *WHOLE[at:]]) + end + end + BODY
    try:
        result = exchange(answer)
    except (OriginError, ConnectionClosed):
        return
    assert result == (10, BODY)
