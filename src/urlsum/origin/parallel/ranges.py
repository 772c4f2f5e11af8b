"""Range requests for parts of a file whose version is known: an answer is used only if it is provably of that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated, RangesFailed, Unverifiable
from urlsum.origin.http11.response import part
from urlsum.origin.version.requests import OK, PARTIAL
from urlsum.origin.version.resume import closed_on_error, range_fields
from urlsum.origin.version.version import Tail, Version, digest

if TYPE_CHECKING:
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.body import Answer
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import Extent, Head
    from urlsum.origin.version.requests import Access

# What is read again before each part: one record of TLS, 0.2 % of a part of 8 MiB. Two versions that differ in more
# than a few places differ here too.
LEAD_BYTES = 16_384


class NoRanges(RangesFailed):
    """The origin answers range requests with something that cannot be used: one connection has to do."""


class Ranges:
    """Asks for parts of the file that was found at ``target``, in ``version``. Safe for many threads."""

    def __init__(self, access: Access, target: Target, version: Version) -> None:
        self._access = access
        self._target = target
        self._version = version

    def waiting(self) -> Connection | None:
        """A connection to where the file was found that another file has left behind, None without one."""
        return self._access.asking.idle.take(self._target)

    def connect(self) -> Connection:
        """A new connection to where the file was found. Raises OriginError, DeadlineReached."""
        return self._access.asking.connect(self._target, self._access.deadline)

    def open(self, connection: Connection, first: int, end: int) -> tuple[Answer, Tail]:
        """The bytes from ``first`` up to ``end`` of the very version, asked for on ``connection``.

        The response begins a little before ``first``, and what it has there must be what the parts before end with:
        that an ETag is the same is only what the origin says. Closes what it does not return. Raises NoRanges,
        RangesFailed, HttpFailed, other OriginErrors, DeadlineReached.
        """
        begin = max(0, first - LEAD_BYTES)
        connection, head = self._access.get_on(connection, self._target, *range_fields(begin, self._version, end))
        self._target = head.target
        with closed_on_error(connection):
            if head.status not in (OK, PARTIAL):
                raise self._access.failed(head)
            extent = self._extent(head, begin) if head.status == PARTIAL else None
            now = Version.of(head, head.length if extent is None else extent.size)
            if difference := self._version.difference(now):
                raise RangesFailed(f"{head.target}: {difference} while it was being read")
            if extent is None:
                raise NoRanges(f"{head.target}: the response to a range request is the whole file")
            if (extent.first, extent.end) != (begin, end) or not self._version.proven_by(now):
                raise NoRanges(f"{head.target}: the response to a range request does not prove what it is")
            answer = self._access.answer(connection, head, extent, size=self._version.size)
            return answer, _lead(answer, first)

    def _extent(self, head: Head, first: int) -> Extent:
        try:
            return part(head, first, self._version.size)
        except (ProtocolViolated, Unverifiable) as exc:
            raise NoRanges(str(exc)) from exc


def _lead(answer: Answer, first: int) -> Tail:
    view = memoryview(bytearray(first - answer.position))
    filled = 0
    while filled < len(view):
        filled += answer.read_into(view[filled:])
    return Tail(first, len(view), digest(view))
