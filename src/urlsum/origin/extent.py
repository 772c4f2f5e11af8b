"""Where the bytes of a response stand in the file, and what proves their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated, Unverifiable
from urlsum.origin.fields import content_range

if TYPE_CHECKING:
    from urlsum.origin.head import Head


@dataclass(frozen=True, slots=True)
class Extent:
    """Positions in the file, in bytes: from ``first`` up to, but not including, ``end``.

    ``end`` is None for chunks, which tell it themselves. ``size`` is the total length where this response gives it.
    ``borrowed`` is True where ``end`` is only what an earlier response about the same version said.
    """

    first: int
    end: int | None
    size: int | None
    borrowed: bool = False


def whole(head: Head, known_size: int | None) -> Extent:
    """The extent of a 200 response. ``known_size`` is what an earlier response about this version proved.

    Raises Unverifiable.
    """
    if head.length is not None or head.chunked:
        return Extent(0, head.length, head.length)
    if known_size is None:
        raise Unverifiable(
            f"{head.target}: the response has neither a length nor chunks, so a cut could not be told from its end"
        )
    return Extent(0, known_size, None, borrowed=True)


def part(head: Head, first: int, known_size: int | None) -> Extent:
    """The extent of a 206 response to ``Range: bytes=<first>-``.

    It may end before the end of the file (RFC 9110, 15.3.7), and begin before ``first``: some servers cut at blocks of
    their own, and some send all. Raises ProtocolViolated, Unverifiable.
    """
    told = content_range(head.get("content-range"))
    if told is None:
        # multipart/byteranges ends here too: no answer to the one range that was asked for.
        raise ProtocolViolated(f"{head.target}: partial content (206) without a usable Content-Range")
    if not told.first <= first < told.end:
        raise ProtocolViolated(
            f"{head.target}: the range sent, {told.first}-{told.end - 1}, does not contain byte {first}"
        )
    if head.length is not None and head.length != told.end - told.first:
        raise ProtocolViolated(f"{head.target}: Content-Length and Content-Range do not agree")
    if told.total is None and known_size is None:
        raise Unverifiable(f"{head.target}: the response does not give the total length, so its end proves nothing")
    return Extent(told.first, told.end, told.total)
