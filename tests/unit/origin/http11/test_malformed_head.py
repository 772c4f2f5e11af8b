"""Malformed header lines: dropped where they touch nothing, refused where two parsers could disagree."""

from __future__ import annotations

import time
from contextlib import suppress

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urlsum.errors import ProtocolViolated
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.malformed_head import without_malformed
from urlsum.origin.http11.response import MAX_FIELDS, MAX_HEAD_BYTES

TARGET = parse("http://example.org/file")
BEFORE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
AFTER = b'ETag: "a"\r\n\r\n'


def cleaned(lines: bytes, *, end: bytes = b"\r\n") -> bytes:
    """The rest of ``lines`` between two well-formed fields."""
    text = (BEFORE + lines + b"\r\n" + AFTER).replace(b"\r\n", end)
    left = without_malformed(text, TARGET).replace(b"\r\n", b"\n")
    before, after = BEFORE.replace(b"\r\n", b"\n"), AFTER.replace(b"\r\n", b"\n")
    assert left.startswith(before)
    assert left.endswith(after)
    return left[len(before) : -len(after)].rstrip(b"\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Foo: bar",
        b"X-Foo:bar",
        b"X-Empty:",
        b"X-Blanks: \t ",
        b"X-Latin: caf\xe9 \x01\x7f",
        b"Content_Length: 6",
        b"Content-Length5: 6",
        b"X-Content-Length: 6",
        b"!#$%&'*+.^_`|~-: all of a token",
        b"X-Folded: a\r\n  b\r\n\tc",
        b"Content-Security-Policy: default-src\r\n 'self'",
        b"X-Folded: a\r\n ",
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_well_formed_lines_stay(lines: bytes, end: bytes) -> None:
    assert cleaned(lines, end=end) == lines.replace(b"\r\n", b"\n")


def test_a_head_without_malformed_lines_is_the_same_object() -> None:
    for text in (BEFORE + AFTER, b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 OK\n\n", BEFORE + b"\n"):
        assert without_malformed(text, TARGET) is text


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Frame Options: DENY",
        b"PHP Warning:  Undefined variable $etag in /var/www/get.php on line 3",
        b"PHP Warning:  Cannot modify header information: Content-Length: 5",
        b"PHP Warning:  it goes\r\n  over two lines",
        b"<br />",
        b"preload",
        b"garbage without a colon",
        b"=====",
        b": no name",
        b":",
        b"X-Foo : bar",
        b"X-Foo\t: bar",
        b"X-F\xc3\xb6\xc3\xb6: bar",
        b"\xff\xfe: bar",
        b"X-\x01Foo: bar",
        b"X-\x7fFoo: bar",
        b'"X-Foo": "bar"',
        b"X-Foo: a\x0bb",
        b"X-Foo: a\x0cb",
        b"X-Folded: a\r\n b\x0cc",
        b"(X-Foo): bar",
        b"X@Foo: bar",
        b"Set-Cookie : a=b",
        b"Content-Disposition : attachment",
        b"Content Type: text/plain",
        b"Last-Modified : Sun, 06 Nov 1994 08:49:37 GMT",
        b"Retry-After : 5",
        b"Connection : close",
        b"Trailer : X-Stream-Error",
        b"Accept Ranges: bytes",
        b"Stage Tag: a",
        b"Vintage Tag: a",
        b"Geo Location: US",
        b"X Allocation: 5",
        b"HTTP Only: yes",
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_malformed_lines_that_touch_nothing_are_dropped(lines: bytes, end: bytes) -> None:
    assert cleaned(lines, end=end) == b""


def test_a_folded_line_right_after_the_status_line_is_dropped() -> None:
    left = without_malformed(b"HTTP/1.1 200 OK\n X-Foo: bar\n\tmore\nX-Bar: a\n\n", TARGET)
    assert left == b"HTTP/1.1 200 OK\nX-Bar: a\n\n"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (b"Content-Length : 5", "Content-Length"),
        (b"Content-Length\t: 5", "Content-Length"),
        (b"Content Length: 5", "Content-Length"),
        (b"Content Length5: 5", "Content-Length"),
        (b"Content-Length 5", "Content-Length"),
        (b"Content-Length=5", "Content-Length"),
        (b"Content-Length", "Content-Length"),
        (b"X Content-Length: 5", "Content-Length"),
        (b'"Content-Length": 5', "Content-Length"),
        (b"\xef\xbb\xbfContent-Length: 5", "Content-Length"),
        (b"Content-\x01Length: 5", "Content-Length"),
        (b"Content-Length: 5\x0b", "Content-Length"),
        (b"Content-Length:\r\n 5", "Content-Length"),
        (b"Content-Length: 5\r\n 5", "Content-Length"),
        (b"X-Folded: a\r\n Content-Length: 5", "Content-Length"),
        (b"broken line\r\n\tContent-Length: 5", "Content-Length"),
        (b"cONTENT lENGTH : 5", "Content-Length"),
        (b"Transfer-Encoding : chunked", "Transfer-Encoding"),
        (b"Transfer Encoding: chunked", "Transfer-Encoding"),
        (b"Transfer-Encoding:\r\n chunked", "Transfer-Encoding"),
        (b"Transfer-Encoding: chunked\r\n ", "Transfer-Encoding"),
        (b"Transfer-Encoding\x0b: chunked", "Transfer-Encoding"),
        (b"Transfer-Encoding: \x0bchunked", "Transfer-Encoding"),
        (b"Content-Range : bytes 0-4/5", "Content-Range"),
        (b"Content Range: bytes 0-4/5", "Content-Range"),
        (b"Content-Encoding : gzip", "Content-Encoding"),
        (b"Content-Encoding: gzip\r\n ", "Content-Encoding"),
        (b'ETag : "a"', "ETag"),
        (b'E Tag: "a"', "ETag"),
        (b'ETag "a"', "ETag"),
        (b'ETag: "a\x0cb"', "ETag"),
        (b'ETag:\r\n "a"', "ETag"),
        (b'\xa0ETag: "a"', "ETag"),
        (b"Location : /a", "Location"),
        (b"Location /a", "Location"),
        (b"Location http://example.org/a", "Location"),
        (b"Location: /a\r\n /b", "Location"),
        (b"HTTP/1.1 404 Not Found", "a status line"),
        (b"X-Folded: a\r\n HTTP/1.0 200 OK", "a status line"),
        (b"HTTP/2 500", "a status line"),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_that_may_be_a_field_that_matters_are_refused(lines: bytes, shown: str, end: bytes) -> None:
    with pytest.raises(ProtocolViolated, match=rf"(malformed|folded) header line that looks like {shown}$"):
        cleaned(lines, end=end)


@pytest.mark.parametrize(
    "line", [b"X-Foo: a\x00b", b"X\x00Foo: a", b"no\x00colon", b"X-Foo: a\rb", b"X-Foo: a\r", b"\r", b"X: a\r\n b\rc"]
)
def test_nul_and_a_bare_cr_are_refused_in_every_line(line: bytes) -> None:
    with pytest.raises(ProtocolViolated, match="NUL or a bare CR"):
        cleaned(line)


def test_no_byte_of_the_line_stands_in_the_message() -> None:
    with pytest.raises(ProtocolViolated) as caught:
        cleaned(b"Content-Length secret: 5")
    assert "secret" not in str(caught.value)


def test_malformed_lines_count_among_the_fields() -> None:
    assert cleaned(b"\r\n".join([b"junk"] * (MAX_FIELDS - 2))) == b""
    with pytest.raises(ProtocolViolated, match="header lines; the limit is 256"):
        cleaned(b"\r\n".join([b"junk"] * (MAX_FIELDS - 1)))


@pytest.mark.parametrize("unit", [b"a", b"a:", b" ", b"\xff", b"a b", b"X-A: b\r\n "])
def test_the_longest_head_takes_no_time(unit: bytes) -> None:
    text = BEFORE + b"x y " + unit * (MAX_HEAD_BYTES // len(unit)) + b"\r\n" + AFTER
    began = time.process_time()
    with suppress(ProtocolViolated):
        without_malformed(text, TARGET)
    assert time.process_time() - began < 0.5


BYTES = st.one_of(
    st.binary(max_size=12),
    st.text(alphabet="aB-_: \t\x0b\x0c\x01\x7f\xe9", max_size=12).map(lambda text: text.encode("latin-1")),
)


@given(BYTES.map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"").replace(b"\x00", b"")))
def test_h11_accepts_exactly_the_lines_that_count_as_well_formed(line: bytes) -> None:
    if not line.lstrip(b" \t"):
        return
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "example.org")]))
    parser.receive_data(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
    try:
        parser.next_event()
    except h11.RemoteProtocolError:
        accepted = False
    else:
        accepted = True
    text = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
    try:
        kept = without_malformed(text, TARGET) is text
    except ProtocolViolated:
        kept = False
    assert kept == accepted
