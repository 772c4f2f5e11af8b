"""Range requests for parts of a file whose version is known: an answer is used only if it is provably of that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated, RangesFailed, Unverifiable
from urlsum.origin.version.file_client import OK
from urlsum.origin.version.responses import DifferentVersion, closed_on_error, open_range, range_fields
from urlsum.origin.version.version import Overlap, Version

if TYPE_CHECKING:
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient

# What is read again before each part: one record of TLS, 0.2 % of a part of 8 MiB. Two versions that differ in more
# than a few places differ here too.
PART_OVERLAP_BYTES = 16_384


class NoRanges(RangesFailed):
    """The origin answers range requests with something that cannot be used: one connection has to do."""


class Ranges:
    """Asks for parts of the file that was found at ``target``, in ``version``. Safe for many threads."""

    def __init__(self, file: FileClient, target: Target, version: Version) -> None:
        self._file = file
        self._target = target
        self._version = version

    def waiting(self) -> Connection | None:
        """A connection to where the file was found that another file has left behind, None without one."""
        return self._file.client.pool.acquire(self._target)

    def connect(self) -> Connection:
        """A new connection to where the file was found. Raises OriginError, DeadlineReached."""
        return self._file.client.connect(self._target, self._file.deadline)

    def open(self, connection: Connection, first: int, end: int) -> tuple[ResponseBody, Overlap]:
        """The bytes from ``first`` up to ``end`` of the very version, asked for on ``connection``.

        The response begins a little before ``first``, and what it has there must be what the parts before end with:
        that an ETag is the same is only what the origin says. Closes what it does not return. Raises NoRanges,
        RangesFailed, HttpFailed, other OriginErrors, DeadlineReached.
        """
        begin = max(0, first - PART_OVERLAP_BYTES)
        connection, head = self._file.get_on(connection, self._target, *range_fields(begin, self._version, end))
        self._target = head.target
        if head.status == OK:
            connection.close()
            self._check_same(head)
            raise NoRanges(f"{head.target}: the response to a range request is the whole file")
        try:
            part = open_range(self._file, connection, head, begin, self._version)
        except (ProtocolViolated, Unverifiable) as exc:
            raise NoRanges(str(exc)) from exc
        except DifferentVersion as exc:
            raise RangesFailed(f"{exc} while it was being read") from exc
        with closed_on_error(connection):
            if (part.first, part.body.length) != (begin, end - begin) or not self._version.proven_by(part.version):
                raise NoRanges(f"{head.target}: the response to a range request does not prove what it is")
            return part.body, _overlap(part.body, first)

    def _check_same(self, head: ResponseHead) -> None:
        if difference := self._version.difference(Version.of(head, head.length)):
            raise RangesFailed(f"{head.target}: {difference} while it was being read")


def _overlap(body: ResponseBody, first: int) -> Overlap:
    view = memoryview(bytearray(first - body.position))
    filled = 0
    while filled < len(view):
        filled += body.read_into(view[filled:])
    return Overlap.of(view, first)
