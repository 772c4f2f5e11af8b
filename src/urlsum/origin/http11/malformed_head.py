"""Malformed heads: harmless malformed lines are dropped, those that may affect the framing are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated
from urlsum.origin.http11.response import MAX_FIELDS

if TYPE_CHECKING:
    from urlsum.origin.guard.url import Target

# RFC 9110, 5.1 and 5.6.2: a name is a token, and the colon follows at once (RFC 9112, 5.1). In the value h11 allows all
# bytes but these four, other control characters included.
_FIELD = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++:[^\x00\n\v\f\r]*+"
_FIELD_LINE = re.compile(_FIELD)
# Nearly every head: a status line and well-formed field lines, none of them folded. One search, some 1.5 us.
_CLEAN = re.compile(rb"[^\n]*+\n(?:" + _FIELD + rb"\r?\n)*+\r?\n")
# RFC 9110, 5.5: "invalid and dangerous, due to the varying ways that implementations might parse and interpret those
# characters". Chrome ends a line at a bare CR, Firefox does not.
_DANGEROUS = re.compile(rb"[\x00\r]")
_NO_VALUE = re.compile(rb"[\v\f]")
_NOT_ALPHANUMERIC = re.compile(rb"[^0-9a-z]+")

# These fields decide where the body ends and which bytes and version it has. Their names are too long to occur in
# another name by accident.
_ANYWHERE = {
    b"contentlength": "Content-Length",
    b"transferencoding": "Transfer-Encoding",
    b"contentrange": "Content-Range",
    b"contentencoding": "Content-Encoding",
}
# Short names do occur in others ("Stage Tag", "Geo Location"), so they count only at the beginning.
_AT_THE_BEGINNING = {b"etag": "ETag", b"location": "Location", b"http1": "a status line", b"http2": "a status line"}


def without_malformed(text: bytes, target: Target) -> bytes:
    """The ``text`` of a head without its harmless malformed fields; the same object if it has none.

    A PHP warning or a space in a name is ignored, as curl and wget do. A line that two parsers could read in two ways
    is refused: one with NUL or a bare CR, and a malformed or folded line (RFC 9112, 5.2) that looks like a field of the
    framing, ETag, Location or a second status line. A well-formed name means itself: ``Content_Length`` is not
    ``Content-Length``. h11 judges the status line. Raises ProtocolViolated.
    """
    if _CLEAN.fullmatch(text):
        return text
    status, *lines, blank, rest = text.split(b"\n")
    if len(lines) > MAX_FIELDS:
        raise ProtocolViolated(f"{target}: the response has {len(lines)} header lines; the limit is {MAX_FIELDS}")
    kept = [status]
    for field in _fields([line.removesuffix(b"\r") for line in lines], target):
        well_formed = _well_formed(field)
        if well_formed and len(field) == 1:
            kept += field
            continue
        for line in field:
            if likeness := _likeness(line):
                how = "folded" if well_formed else "malformed"
                raise ProtocolViolated(
                    f"{target}: the response has a {how} header line that looks like {likeness}", raw=line
                )
        if well_formed:
            kept += field
    return b"\n".join([*kept, blank, rest])


def _fields(lines: list[bytes], target: Target) -> list[list[bytes]]:
    """Each line with its continuation lines, which begin with a space or a tab."""
    fields: list[list[bytes]] = []
    for line in lines:
        if _DANGEROUS.search(line):
            raise ProtocolViolated(f"{target}: the response has a header line with NUL or a bare CR", raw=line)
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1].append(line)
        else:
            fields.append([line])
    return fields


def _well_formed(field: list[bytes]) -> bool:
    first, *others = field
    return bool(_FIELD_LINE.fullmatch(first)) and not any(_NO_VALUE.search(line) for line in others)


def _likeness(line: bytes) -> str | None:
    """The sensitive field that ``line`` looks like; a line without a colon counts as a name."""
    name = _NOT_ALPHANUMERIC.sub(b"", line.partition(b":")[0].lower())
    for word, shown in _ANYWHERE.items():
        if word in name:
            return shown
    for word, shown in _AT_THE_BEGINNING.items():
        if name.startswith(word):
            return shown
    return None
