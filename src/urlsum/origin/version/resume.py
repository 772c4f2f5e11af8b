"""Resuming: a response that provably continues one version of a file, by a range request or else by the whole file."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import (
    Changed,
    ProtocolViolated,
)
from urlsum.origin.http11.body import OnlyPart
from urlsum.origin.version.edges import same_edge
from urlsum.origin.version.file_client import PARTIAL
from urlsum.origin.version.responses import (
    Differs,
    OtherBytes,
    Refused,
    check_same,
    closed_on_error,
    open_range,
    open_whole,
    range_fields,
    refusals,
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

# A server that sends less at a time is rather asked for the whole file: 1 MiB is a thousand requests already.
LEAST_PART_BYTES = 1024
# How often the range is asked for again once the whole file is to be had: a server that had a bad moment then answers
# it, and a large file need not be read again.
RANGE_TRIES = 2


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to continue, in which version.

    The request starts at the tail, not at ``offset``: validators are only a claim, so the overlapping bytes must match
    as well. The range is therefore never empty, and a checkpoint at the end of the file cannot yield 416.
    """

    offset: int
    version: Version
    tail: Overlap

    @property
    def first(self) -> int:
        """The first byte that is asked for."""
        return self.tail.start

    @classmethod
    def of(cls, checkpoint: Checkpoint | None) -> Resume | None:
        """Raises Changed when the checkpoint proves nothing."""
        if checkpoint is None or checkpoint.offset == 0:
            return None
        version = Version.load(checkpoint.validator)
        tail = version.tail
        if tail is None or tail.end > checkpoint.offset:
            raise Changed("the checkpoint proves nothing about the bytes before its offset; the file is read again")
        return cls(checkpoint.offset, version, tail)

    def __str__(self) -> str:
        return f"; {human_bytes(self.offset)} had been hashed"


@dataclass(frozen=True, slots=True)
class Opened:
    """A response whose next byte is the one that was wanted, or the first of the file.

    ``overlap`` are the bytes before it, which were compared; ``reread`` is how many were read before it in all.
    ``ranged`` is False where a range was asked for and the whole file came.
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


def resume(file: FileClient, wanted: Resume) -> Opened:
    """The file from ``wanted.offset`` on, or the whole of it again: provably the same version as far as it says.

    A range request that is refused, or whose response cannot be used, says nothing about the file: only a plain GET
    does. Raises what ``begin`` does, and Changed.
    """
    refused: Refused | None = None
    if file.memory.is_stuck(file.url, wanted.offset):
        refused = Refused("the last range brought nothing new")
    else:
        try:
            connection, head, version = _ranged(file, wanted)
            if head.status == PARTIAL:
                return _from_part(file, connection, head, wanted, version)
        except Refused as exc:
            refused = exc
    if refused:
        log.info("%s: no range from %d on: %s", shown_url(file.url), wanted.first, refused)
        connection, head, version = same_edge(file.get, wanted.version)
    with closed_on_error(connection):
        file.check_whole(head)
        for _ in range(RANGE_TRIES if refused and refused.passing else 0):
            with suppress(Refused):
                opened = by_range(file, wanted)
                connection.close()
                return opened
        opened = _from_whole(file, connection, head, wanted, version)
    file.ranges_lie |= bool(refused and refused.other_bytes)
    return opened


def _ranged(file: FileClient, wanted: Resume) -> tuple[Connection, ResponseHead, Version]:
    """A response with the file, or with the range that was asked for. Raises Refused, OriginError."""
    with refusals():
        fields = range_fields(wanted.first, wanted.version)
        connection, head, version = same_edge(file.get_at_target, wanted.version, *fields)
        with closed_on_error(connection):
            if head.status != PARTIAL:
                file.check_whole(head)
                check_same(head, version, Version.of(head, head.length), str(wanted))
        return connection, head, version


def by_range(file: FileClient, wanted: Resume) -> Opened:
    """The file from ``wanted.offset`` on. Raises Refused, and OriginErrors that are not about the range."""
    connection, head, version = _ranged(file, wanted)
    if head.status != PARTIAL:
        connection.close()
        raise Refused(f"{head.target}: the whole file came")
    return _from_part(file, connection, head, wanted, version)


def _from_part(
    file: FileClient, connection: Connection, head: ResponseHead, wanted: Resume, version: Version
) -> Opened:
    with refusals():
        try:
            part = open_range(file, connection, head, wanted.first, version)
        except Differs as exc:
            raise Changed(f"{exc}{wanted}") from exc
        with closed_on_error(connection):
            if not version.says_as_much(part.version):
                # RFC 9110, 15.3.7: a 206 has the validators that a 200 would have.
                raise Changed(f"{head.target}: the range does not say what it is of, or says it differently{wanted}")
            version = version.joined_by(part.version)
            body, overlap = _advance(file, part.body, wanted, version)
        return Opened(body, version, head, overlap=overlap, reread=wanted.offset - part.first)


def _from_whole(
    file: FileClient, connection: Connection, head: ResponseHead, wanted: Resume, version: Version
) -> Opened:
    """The file from its first byte: no byte of it is skipped, so all of the digest is of this one response."""
    whole = open_whole(file, connection, head, version, done=str(wanted))
    return Opened(whole.body, whole.version, head, ranged=False)


def _advance(file: FileClient, body: ResponseBody, wanted: Resume, version: Version) -> tuple[ResponseBody, bytes]:
    """Read ``body`` up to the offset; return the response that stands there and the bytes from the tail on.

    Raises OtherBytes when the tail's bytes are others now.
    """
    body, overlap = across_parts(file, body, version, wanted.first, wanted.offset)
    if not wanted.tail.matches(overlap[: wanted.tail.length]):
        body.connection.close()
        raise OtherBytes(f"{body.connection.target}: the last hashed bytes have changed{wanted}")
    return body, bytes(overlap)


def across_parts(
    file: FileClient, body: ResponseBody, version: Version, first: int, end: int
) -> tuple[ResponseBody, memoryview]:
    """The response that stands at ``end``, and the bytes from ``first`` up to there, in however many parts they come.

    Closes the connection when that fails. Raises Changed, other OriginErrors, DeadlineReached.
    """
    received = memoryview(bytearray(end - first))
    while body.position < end:
        with closed_on_error(body.connection):
            try:
                body.skip_to(first, file.heartbeat)
                body.read_up_to(end, received, file.heartbeat)
            except OnlyPart:
                body = next_part(file, body, version)
    return body, received


def next_part(file: FileClient, body: ResponseBody, version: Version) -> ResponseBody:
    """The part right after ``body``, which the tail proves together with it. Raises OriginError."""
    at = body.position
    if (body.length or 0) < LEAST_PART_BYTES:
        raise ProtocolViolated(f"{body.connection.target}: the server sends ranges of {body.length} bytes")
    file.client.pool.release(body.connection)
    connection, head = file.get_at_target(*range_fields(at, version))
    different = f"{head.target}: the server sent a different range than requested"
    try:
        part = open_range(file, connection, head, at, version)
    except Differs as exc:
        raise ProtocolViolated(different) from exc
    if part.first != at:
        connection.close()
        raise ProtocolViolated(different)
    return part.body
