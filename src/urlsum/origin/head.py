"""The head of a response: bounded before it is parsed, and refused where its framing could be read in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated
from urlsum.origin.fields import decoded

if TYPE_CHECKING:
    import h11

    from urlsum.origin.guard.url import Target

# All heads of an exchange that is not abusive fit: servers limit theirs to 8-16 KB, long policy fields included.
MAX_HEAD_BYTES = 65_536
# Some three times what the most talkative CDNs send.
MAX_FIELDS = 256
# 103 may come once per early hint, 102 every 20 s (RFC 2518, 10.1); more are a way to keep a client waiting.
MAX_INTERIM = 8
# 19 digits hold 2**63; a longer file does not exist.
MAX_LENGTH_DIGITS = 19

# Where h11 sees the end of a head: an empty line, ended by CRLF or, as RFC 9112, 2.2 allows, by LF alone.
END_OF_HEAD = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of a final response, and how its body is framed (RFC 9112, 6.3).

    ``length`` is Content-Length, in bytes; without it and without ``chunked`` only the end of the connection ends
    the body.
    """

    target: Target
    status: int
    length: int | None
    chunked: bool
    fields: tuple[tuple[bytes, bytes], ...]

    def get(self, name: str) -> str | None:
        """The value of a field that has only one, None without it. Raises ProtocolViolated when there are two."""
        value = self.get_bytes(name)
        return None if value is None else decoded(value)

    def get_bytes(self, name: str) -> bytes | None:
        """The same as the origin sent it, without a guess at its charset."""
        values = {value for field, value in self.fields if field == name.encode("ascii")}
        if len(values) > 1:
            raise ProtocolViolated(f"{self.target}: the response has two different {_shown(name)} fields")
        return values.pop() if values else None


def _shown(name: str) -> str:
    """The field ``name`` as its RFC spells it."""
    return "ETag" if name == "etag" else name.title()


def check_start(raw: bytearray, target: Target) -> None:
    """Refuse what cannot become an HTTP/1 status line, without waiting for its end. Raises ProtocolViolated."""
    expected = b"HTTP/1."
    if raw[: len(expected)] != expected[: len(raw)]:
        raise ProtocolViolated(f"{target}: the server does not speak HTTP/1.1")


def parse(event: h11.Response, raw: bytes, target: Target) -> Head:
    """Judge a parsed head; ``raw`` is its text. Raises ProtocolViolated.

    ``lines`` has judged malformed lines; h11 has refused two different lengths and every transfer coding but chunked.
    """
    if len(event.headers) > MAX_FIELDS:
        raise ProtocolViolated(
            f"{target}: the response has {len(event.headers)} header fields, at most {MAX_FIELDS} are read"
        )
    fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
    names = [name for name, _ in fields]
    chunked = b"transfer-encoding" in names
    if chunked and b"content-length" in names:
        # RFC 9112, 6.3: "might indicate an attempt to perform request smuggling or response splitting".
        raise ProtocolViolated(f"{target}: the response has both Content-Length and Transfer-Encoding")
    if chunked and event.http_version == b"1.0":
        # RFC 9112, 6.1: the framing of such a message is faulty; some relay passed on what it did not understand.
        raise ProtocolViolated(f"{target}: the response is HTTP/1.0 with Transfer-Encoding")
    return Head(target, event.status_code, _length(raw, target), chunked, fields)


def _length(raw: bytes, target: Target) -> int | None:
    # From the text, because h11 folds equal lengths into one. RFC 9110, 8.6 lets a recipient refuse them: two of them
    # mean that two programs wrote the head, and which of them wrote the body is a guess.
    values = _CONTENT_LENGTH.findall(raw)
    if not values:
        return None
    text = values[0].strip()
    if len(values) > 1 or not text.isdigit():
        raise ProtocolViolated(f"{target}: the response has more than one Content-Length, or one that is no number")
    if len(text) > MAX_LENGTH_DIGITS:
        raise ProtocolViolated(f"{target}: the response has an impossible Content-Length")
    return int(text)
