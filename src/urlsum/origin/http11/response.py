"""The response head: its framing, its fields, and the byte range of the file that the body carries.

A head is bounded before it is parsed, and refused where its framing could be read in two ways.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import RAW_LIMIT, ProtocolViolated, Unverifiable

if TYPE_CHECKING:
    import h11

    from urlsum.origin.guard.url import Target

# All heads of an exchange that is not abusive fit: servers limit theirs to 8-16 KB, long policy fields included.
MAX_HEAD_BYTES = 65_536
# Some three times what the most talkative CDNs send.
MAX_FIELDS = 256
# 103 may come once per early hint, 102 every 20 s (RFC 2518, 10.1); more only keep a client waiting.
MAX_INTERIM = 8
# 19 digits hold 2**63; a longer file does not exist.
MAX_LENGTH_DIGITS = 19

# Three times the longest form, "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 9110, 5.6.7), for comments and blanks.
MAX_DATE_CHARACTERS = 100

# Where h11 sees the end of a head: an empty line, ended by CRLF or, as RFC 9112, 2.2 allows, by LF alone.
END_OF_HEAD = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)


class ResponseHead(Struct, frozen=True):
    """Status and fields of a final response, and how its body is framed (RFC 9112, 6.3).

    ``length`` is Content-Length, in bytes; without it and without ``chunked`` only the end of the connection ends
    the body. ``reason`` is the origin's own phrase, for the log only.
    """

    target: Target
    status: int
    length: int | None
    chunked: bool
    fields: tuple[tuple[bytes, bytes], ...]
    reason: bytes = b""

    def get(self, name: str) -> str | None:
        """The value of the field ``name``, None without it. Raises ProtocolViolated for two different ones."""
        value = self.get_bytes(name)
        return None if value is None else decoded(value)

    def get_bytes(self, name: str) -> bytes | None:
        """The same as bytes, without a guess at the charset. Raises ProtocolViolated for two different ones."""
        values = set(self.all_bytes(name))
        if len(values) > 1:
            raise ProtocolViolated(f"{self.target}: the response has two different {_shown(name)} fields")
        return values.pop() if values else None

    def all_bytes(self, name: str) -> list[bytes]:
        """The values of all fields ``name``: where several do no harm."""
        wanted = name.encode("ascii")
        return [value for field, value in self.fields if field == wanted]


def _shown(name: str) -> str:
    """The field ``name`` as its RFC spells it."""
    return "ETag" if name == "etag" else name.title()


def check_start(raw: bytearray, target: Target) -> None:
    """Refuse bytes that cannot become an HTTP/1 status line, without waiting for its end. Raises ProtocolViolated."""
    expected = b"HTTP/1."
    if raw[: len(expected)] != expected[: len(raw)]:
        raise ProtocolViolated(f"{target}: the server does not speak HTTP/1.1", raw=bytes(raw[:RAW_LIMIT]))


def parse(event: h11.Response, raw: bytes, target: Target) -> ResponseHead:
    """Judge a parsed head; ``raw`` is its text. Raises ProtocolViolated.

    ``malformed_head`` has judged the lines; h11 has refused two different lengths and all transfer codings but chunked.
    """
    if len(event.headers) > MAX_FIELDS:
        raise ProtocolViolated(
            f"{target}: the response has {len(event.headers)} header fields; the limit is {MAX_FIELDS}"
        )
    fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
    names = [name for name, _ in fields]
    chunked = b"transfer-encoding" in names
    if chunked and b"content-length" in names:
        # RFC 9112, 6.3: "might indicate an attempt to perform request smuggling or response splitting".
        raise ProtocolViolated(f"{target}: the response has both Content-Length and Transfer-Encoding")
    if chunked and event.http_version == b"1.0":
        # RFC 9112, 6.1: the framing of such a message is faulty; some relay forwarded a field that it does not know.
        raise ProtocolViolated(f"{target}: the response is HTTP/1.0 but has Transfer-Encoding")
    return ResponseHead(target, event.status_code, _length(raw, target), chunked, fields, bytes(event.reason))


def _length(raw: bytes, target: Target) -> int | None:
    # From the text, because h11 merges equal lengths. RFC 9110, 8.6 lets a recipient refuse them: two of them mean
    # that two programs wrote the head, and which one wrote the body is a guess.
    values = _CONTENT_LENGTH.findall(raw)
    if not values:
        return None
    text = values[0].strip()
    if len(values) > 1 or not text.isdigit():
        raise ProtocolViolated(
            f"{target}: the response has more than one Content-Length, or one that is not a number",
            raw=b", ".join(values),
        )
    if len(text) > MAX_LENGTH_DIGITS:
        raise ProtocolViolated(f"{target}: the response has an impossible Content-Length")
    return int(text)


# 19 digits reach 2**63: no file is longer, and int() of a longer string costs time.
_CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes[ \t]+\*/([0-9]{1,19})", re.IGNORECASE)
# What a whole response says of itself, in the spellings that servers have for it; the total may be missing.
_DECLARED = re.compile(
    r"bytes?[ \t:=]*(?:([0-9]{1,19})[ \t]*-[ \t]*(-?[0-9]{1,19})?|\*)[ \t]*(?:/[ \t]*([0-9]{1,19}|\*))?", re.IGNORECASE
)
_COUNTS_BYTES = re.compile(r"bytes?(?![a-z]).*[0-9]", re.IGNORECASE)


class ByteRange(Struct, frozen=True):
    """Positions in the file, in bytes: from ``first`` up to, but not including, ``end`` (RFC 9110, 14).

    ``end`` is None for a chunked body, which ends with its last chunk. ``total`` is the length of the whole file
    where this response gives it. ``end_assumed`` is True where only an earlier response of this version gave ``end``.
    """

    first: int
    end: int | None
    total: int | None
    end_assumed: bool = False

    @property
    def length(self) -> int | None:
        """How many bytes; None while the end is unknown."""
        return None if self.end is None else self.end - self.first

    def contains(self, position: int) -> bool:
        """Whether the byte at ``position`` is in the range."""
        return self.first <= position and (self.end is None or position < self.end)

    def __str__(self) -> str:
        """The first and the last position, as Content-Range gives them."""
        return f"{self.first}-{'' if self.end is None else self.end - 1}"


def decoded(value: bytes) -> str:
    """A field value as text: UTF-8, or else ISO 8859-1, which HTTP/1.1 once used (RFC 9110, 5.5)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def content_range(text: str | None) -> ByteRange | None:
    """The range of a Content-Range (RFC 9110, 14.4); None when it is missing or makes no sense.

    >>> content_range("bytes 100-199/1000")
    ByteRange(first=100, end=200, total=1000, end_assumed=False)
    """
    match = _CONTENT_RANGE.fullmatch(text or "")
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        return None
    return ByteRange(first, last + 1, total)


def unsatisfied_total(text: str | None) -> int | None:
    """The length of the file, in bytes, in the Content-Range of a 416 (RFC 9110, 15.5.17); None when it is missing.

    >>> unsatisfied_total("bytes */1000")
    1000
    """
    match = _UNSATISFIED.fullmatch(text or "")
    return int(match[1]) if match else None


def http_date(text: str | None) -> float | None:
    """An HTTP-date (RFC 9110, 5.6.7) in seconds since the epoch; None when it is missing or invalid.

    Also None for a date that its offset moves beyond the year 9999, which no datetime can hold.

    >>> http_date("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777.0
    """
    return _parsed_date(text) if text and len(text) <= MAX_DATE_CHARACTERS else None


# One response's dates are looked at some times each, and files of a data set share theirs.
@lru_cache(maxsize=256)
def _parsed_date(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        # The asctime form has no zone. Every HTTP-date is in UTC.
        return (date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def sent_at(head: ResponseHead) -> float | None:
    """The Date of the response in seconds since the epoch; None when it is missing or invalid.

    Proxies add a Date of their own to that of the server (jetty/jetty.project#13961). The earliest one promises least
    of a file that changed shortly before.
    """
    dates = [http_date(decoded(value)) for value in head.all_bytes("date")]
    return min((date for date in dates if date is not None), default=None)


def declared_total(head: ResponseHead) -> int | None:
    """The length of the file by the Content-Range of a response that carries all of it; None if that gives none.

    RFC 9110, 14.4 gives the field no meaning in a 200, but a cache that sends its slice as the whole file says so here,
    and so does one whose slice is shorter than it should be. Units other than bytes count the pages of an API. Raises
    ProtocolViolated if the field describes a part, or contradicts the length.
    """
    text = head.get("content-range") or ""
    if not _COUNTS_BYTES.match(text):
        return None
    declared = _DECLARED.fullmatch(text)
    if declared is None:
        raise ProtocolViolated(f"{head.target}: the whole file came with a Content-Range that makes no sense", raw=text)
    first, last, total = declared.groups()
    end = int(last) + 1 if last else None
    known = end if total in (None, "*") else int(total)
    # Programs write ``0--1/0`` for an empty file, and ``0-10/10`` for one of ten bytes.
    if first and (int(first) or total == "*" or (end is not None and end < (known or 0))):
        raise ProtocolViolated(f"{head.target}: bytes {first}-{last or ''} were sent as the whole file")
    if None not in (head.length, known) and head.length != known:
        raise ProtocolViolated(f"{head.target}: Content-Length and Content-Range disagree")
    return known


def range_of_whole(head: ResponseHead, known_size: int | None) -> ByteRange:
    """The range that a 200 response carries. An earlier response of this version proved ``known_size`` (bytes).

    Raises Unverifiable.
    """
    if head.length is not None:
        return ByteRange(0, head.length, head.length)
    if head.chunked:
        total = declared_total(head)
        return ByteRange(0, total, total)
    if known_size is None:
        raise Unverifiable(
            f"{head.target}: the response has no length and is not chunked, so a cut connection would look like its end"
        )
    return ByteRange(0, known_size, None, end_assumed=True)


def range_of_part(head: ResponseHead, first: int, known_size: int | None) -> ByteRange:
    """The range that a 206 response to ``Range: bytes=<first>-`` carries.

    It may end before the end of the file (RFC 9110, 15.3.7), and begin before ``first``: some servers cut at blocks of
    their own, and some send the whole file. Raises ProtocolViolated, Unverifiable.
    """
    sent = content_range(head.get("content-range"))
    if sent is None:
        # multipart/byteranges ends here too: it is no response to a request for one range.
        raise ProtocolViolated(f"{head.target}: partial content (206) without a usable Content-Range")
    if not sent.contains(first):
        raise ProtocolViolated(f"{head.target}: the server sent the range {sent}, which does not contain byte {first}")
    if head.length is not None and head.length != sent.length:
        raise ProtocolViolated(f"{head.target}: Content-Length and Content-Range disagree")
    if sent.total is None and known_size is None:
        raise Unverifiable(f"{head.target}: the response does not give the total length, so its end proves nothing")
    return sent
