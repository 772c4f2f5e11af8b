"""Sends the range requests for parts of a file, and accepts only responses that provably belong to its version."""

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

# The overlap that is re-read before each part: one TLS record, 0.2 % of a part of 8 MiB. Two versions that differ in
# more than a few places differ here, too.
PART_OVERLAP_BYTES = 16_384


class NoRanges(RangesFailed):
    """The origin's responses to range requests are unusable: a single connection must read the file."""


class Ranges:
    """Requests parts of ``version`` of the file at ``target``, where its redirects ended. Thread-safe."""

    def __init__(self, file: FileClient, target: Target, version: Version) -> None:
        self._file = file
        self._target = target
        self._version = version

    def idle_connection(self) -> Connection | None:
        """A connection to ``target`` from the pool, None without one."""
        return self._file.client.pool.acquire(self._target)

    def connect(self) -> Connection:
        """A further connection to ``target``. Raises OriginError, NoPlace, DeadlineReached."""
        return self._file.client.connect(self._target, self._file.deadline)

    def open(self, connection: Connection, first: int, end: int) -> tuple[ResponseBody, Overlap]:
        """The response with the bytes from ``first`` up to ``end``, requested on ``connection``, and its overlap.

        The response begins up to PART_OVERLAP_BYTES before ``first``. The part before must end with the bytes of that
        overlap, because an equal ETag is only a claim. Closes the connection on every error. Raises NoRanges,
        RangesFailed, HttpFailed, other OriginErrors, DeadlineReached.
        """
        begin = max(0, first - PART_OVERLAP_BYTES)
        connection, head = self._file.get_on(connection, self._target, *range_fields(begin, self._version, end))
        self._target = head.target
        if head.status == OK:
            connection.close()
            self._check_same(head)
            raise NoRanges(f"{head.target}: the server answered a range request with the whole file")
        try:
            part = open_range(self._file, connection, head, begin, self._version)
        except (ProtocolViolated, Unverifiable) as exc:
            raise NoRanges(str(exc)) from exc
        except DifferentVersion as exc:
            if exc.now.coding != self._version.coding:
                raise NoRanges(f"{head.target}: the range has another content coding") from exc
            raise RangesFailed(f"{exc} while the file was being read") from exc
        with closed_on_error(connection):
            if (part.first, part.body.length) != (begin, end - begin) or not self._version.proven_by(part.version):
                raise NoRanges(f"{head.target}: the response to a range request does not prove its range or version")
            return part.body, _read_overlap(part.body, first)

    def _check_same(self, head: ResponseHead) -> None:
        now = Version.of(head, head.length)
        if now.coding == self._version.coding and (difference := self._version.difference(now)):
            raise RangesFailed(f"{head.target}: {difference} while the file was being read")


def _read_overlap(body: ResponseBody, first: int) -> Overlap:
    view = memoryview(bytearray(first - body.position))
    filled = 0
    while filled < len(view):
        filled += body.read_into(view[filled:])
    return Overlap.of(view, first)
