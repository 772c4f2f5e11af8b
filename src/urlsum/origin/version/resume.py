"""Opens a file at its first byte or at a checkpoint: resumes by a range request, or else reads the whole file again."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import Changed, OriginBusy
from urlsum.origin.version.edges import get_from_same_edge
from urlsum.origin.version.file_client import PARTIAL
from urlsum.origin.version.parts import read_across_parts
from urlsum.origin.version.refusals import OverlapMismatch, RangeRefused, range_refusals
from urlsum.origin.version.responses import (
    DifferentVersion,
    check_same,
    closed_on_error,
    open_range,
    open_whole,
    range_fields,
)
from urlsum.origin.version.version import Version
from urlsum.text.format import human_bytes, shown_url

if TYPE_CHECKING:
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap
    from urlsum.task import Checkpoint

log = logging.getLogger(__name__)

# The number of further range requests once a plain GET succeeds: a server that has recovered serves the range, and a
# large file need not be read again.
RANGE_TRIES = 2


class ResumePoint(Struct, frozen=True):
    """The position to resume at, in bytes, and the version to resume.

    The request starts at the tail, not at ``offset``: validators are only a claim, so the overlapping bytes must match
    as well. The range is therefore never empty, and a checkpoint at the end of the file cannot yield 416.
    """

    offset: int
    version: Version
    tail: Overlap

    @property
    def first(self) -> int:
        """The first position that is requested."""
        return self.tail.start

    @classmethod
    def of(cls, checkpoint: Checkpoint | None) -> ResumePoint | None:
        """The point of ``checkpoint``, None for the first byte. Raises Changed if the checkpoint proves nothing."""
        if checkpoint is None or checkpoint.offset == 0:
            return None
        version = Version.load(checkpoint.validator)
        tail = version.tail
        if tail is None or tail.end > checkpoint.offset:
            raise Changed("the checkpoint does not prove the bytes before its offset, so the file is read again")
        return cls(checkpoint.offset, version, tail)

    def __str__(self) -> str:
        return f"; {human_bytes(self.offset)} had been hashed"


class Opened(Struct, frozen=True):
    """A response whose next byte is the requested one, or the first of the file.

    ``overlap`` holds the compared bytes before it; ``reread`` counts all bytes that were read before it. ``ranged`` is
    False if a range was requested and the whole file came.
    """

    body: ResponseBody
    version: Version
    head: ResponseHead
    ranged: bool = True
    overlap: bytes = b""
    reread: int = 0


def begin(file: FileClient) -> Opened:
    """The file from its first byte. Raises InvalidUrl, OriginError, DeadlineReached."""
    connection, head = file.get()
    with closed_on_error(connection):
        file.check_whole(head)
    whole = open_whole(file, connection, head)
    return Opened(whole.body, whole.version, head)


def resume_at(file: FileClient, point: ResumePoint) -> Opened:
    """The file from ``point.offset`` on, or all of it again, provably of the same version as far as validators tell.

    A refused range request, or an unusable response to one, says nothing about the file: only a plain GET does. Raises
    the errors of ``begin``, and Changed.
    """
    refused: RangeRefused | None = None
    if file.memory.pop_stuck(file.url, point.offset):
        refused = RangeRefused("the last range brought nothing new")
    else:
        try:
            connection, head, version = _request_range(file, point)
            if head.status == PARTIAL:
                return _continue_from_range(file, connection, head, point, version)
        except RangeRefused as exc:
            refused = exc
    if refused:
        log.info("%s: no range from byte %d: %s", shown_url(file.url), point.first, refused)
        connection, head, version = get_from_same_edge(file.get, point.version)
    with closed_on_error(connection):
        file.check_whole(head)
        for _ in range(RANGE_TRIES if refused and refused.transient else 0):
            with suppress(RangeRefused, OriginBusy):
                opened = resume_by_range(file, point)
                connection.close()
                return opened
        opened = _restart_from_whole(file, connection, head, point, version)
    file.ranges_lie |= bool(refused and refused.other_bytes)
    return opened


def _request_range(file: FileClient, point: ResumePoint) -> tuple[Connection, ResponseHead, Version]:
    """A response with the requested range, or with the whole file. Raises RangeRefused, OriginError."""
    with range_refusals():
        fields = range_fields(point.first, point.version)
        connection, head, version = get_from_same_edge(file.get_at_target, point.version, *fields)
        with closed_on_error(connection):
            if head.status != PARTIAL:
                file.check_whole(head)
                check_same(head, version, Version.of(head, head.length), str(point))
        return connection, head, version


def resume_by_range(file: FileClient, point: ResumePoint) -> Opened:
    """The file from ``point.offset`` on. Raises RangeRefused, and OriginErrors that do not concern the range."""
    connection, head, version = _request_range(file, point)
    if head.status != PARTIAL:
        connection.close()
        raise RangeRefused(f"{head.target}: the server sent the whole file")
    return _continue_from_range(file, connection, head, point, version)


def _continue_from_range(
    file: FileClient, connection: Connection, head: ResponseHead, point: ResumePoint, version: Version
) -> Opened:
    with range_refusals():
        try:
            part = open_range(file, connection, head, point.first, version)
        except DifferentVersion as exc:
            raise Changed(f"{exc}{point}") from exc
        with closed_on_error(connection):
            if not version.has_same_validators(part.version):
                # RFC 9110, 15.3.7: a 206 has the validators that a 200 would have.
                raise Changed(
                    f"{head.target}: the range response lacks the validators of the file, or has others{point}"
                )
            version = version.joined_by(part.version)
            body, overlap = _read_overlap(file, part.body, point, version)
        return Opened(body, version, head, overlap=overlap, reread=point.offset - part.first)


def _restart_from_whole(
    file: FileClient, connection: Connection, head: ResponseHead, point: ResumePoint, version: Version
) -> Opened:
    """The file from its first byte: no byte is skipped, so the whole digest is of this one response."""
    whole = open_whole(file, connection, head, version, done=str(point))
    return Opened(whole.body, whole.version, head, ranged=False)


def _read_overlap(
    file: FileClient, body: ResponseBody, point: ResumePoint, version: Version
) -> tuple[ResponseBody, bytes]:
    """Read up to the offset; return the response that continues there, and the bytes from the start of the tail on.

    Raises OverlapMismatch if the bytes of the tail differ.
    """
    body, overlap = read_across_parts(file, body, version, point.first, point.offset)
    if not point.tail.matches(overlap[: point.tail.length]):
        body.connection.close()
        raise OverlapMismatch(f"{body.connection.target}: the last hashed bytes have changed{point}")
    return body, bytes(overlap)
