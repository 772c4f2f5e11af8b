"""Resuming: a response that provably continues one version of a file, by a range request or else by the whole file."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from urlsum.errors import (
    AnotherKind,
    BadRedirect,
    Blocked,
    Changed,
    ConnectFailed,
    DnsFailed,
    HttpFailed,
    Incomplete,
    ProtocolViolated,
    TimedOut,
    TlsFailed,
    Unsteady,
    Unverifiable,
)
from urlsum.origin.http11.body import OnlyPart
from urlsum.origin.http11.response import part, whole
from urlsum.origin.version.edges import ours
from urlsum.origin.version.requests import PARTIAL
from urlsum.origin.version.version import Version, digest
from urlsum.text.format import human_bytes, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.http11.body import Answer
    from urlsum.origin.http11.client import Fields
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import Head
    from urlsum.origin.version.requests import Access
    from urlsum.origin.version.version import Tail
    from urlsum.task import Checkpoint

log = logging.getLogger(__name__)

# A refusal of these may have nothing to do with the range (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4).
PASSING_4XX = frozenset({408, 425, 429})
# These are about the request itself (RFC 9110, 15.6.2 and 15.6.6): the same request meets them again.
LASTING_5XX = frozenset({501, 505})
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
    tail: Tail

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


class OtherBytes(Changed):
    """The bytes before the offset are not those that were hashed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A response whose next byte is the one that was wanted, or the first of the file.

    ``overlap`` are the bytes before it, which were compared; ``reread`` is how many were read before it in all.
    ``ranged`` is False where a range was asked for and the whole file came.
    """

    answer: Answer
    version: Version
    head: Head
    ranged: bool = True
    overlap: bytes = b""
    reread: int = 0


class Refused(Exception):
    """The range request brought nothing that can be used.

    ``passing`` where the same request may work a moment later, ``other_bytes`` where the range has other bytes than
    were read there before, ``other_length`` where it tells another length of the file.
    """

    def __init__(
        self, reason: object, *, passing: bool = False, other_bytes: bool = False, other_length: bool = False
    ) -> None:
        super().__init__(str(reason))
        self.passing = passing
        self.other_bytes = other_bytes
        self.other_length = other_length


def begin(access: Access) -> Opened:
    """The file from its first byte. Raises InvalidUrl, OriginError, DeadlineReached."""
    connection, head = access.get()
    with closed_on_error(connection):
        access.check_whole(head)
        extent = whole(head, None)
        version = Version.of(head, extent.size)
        return Opened(access.answer(connection, head, extent, size=version.size), version, head)


def resume(access: Access, wanted: Resume) -> Opened:
    """The file from ``wanted.offset`` on, or the whole of it again: provably the same version as far as it says.

    A range request that is refused, or whose response cannot be used, says nothing about the file: only a plain GET
    does. Raises what ``begin`` does, and Changed.
    """
    refused: Refused | None = None
    if access.memory.is_stuck(access.url, wanted.offset):
        refused = Refused("the last range brought nothing new")
    else:
        try:
            connection, head, version = _ranged(access, wanted)
            if head.status == PARTIAL:
                return _from_part(access, connection, head, wanted, version)
        except Refused as exc:
            refused = exc
    if refused:
        log.info("%s: no range from %d on: %s", shown_url(access.url), wanted.first, refused)
        connection, head, version = ours(access.get, wanted.version)
    with closed_on_error(connection):
        access.check_whole(head)
        for _ in range(RANGE_TRIES if refused and refused.passing else 0):
            with suppress(Refused):
                opened = by_range(access, wanted)
                connection.close()
                return opened
        opened = _from_whole(access, connection, head, wanted, version)
    access.ranges_lie |= bool(refused and refused.other_bytes)
    return opened


def _ranged(access: Access, wanted: Resume) -> tuple[Connection, Head, Version]:
    """A response with the file, or with the range that was asked for. Raises Refused, OriginError."""
    with refusals():
        fields = range_fields(wanted.first, wanted.version)
        connection, head, version = ours(access.get_there, wanted.version, *fields)
        with closed_on_error(connection):
            if head.status != PARTIAL:
                access.check_whole(head)
                check_same(head, version, Version.of(head, head.length), str(wanted))
        return connection, head, version


def by_range(access: Access, wanted: Resume) -> Opened:
    """The file from ``wanted.offset`` on. Raises Refused, and OriginErrors that are not about the range."""
    connection, head, version = _ranged(access, wanted)
    if head.status != PARTIAL:
        connection.close()
        raise Refused(f"{head.target}: the whole file came")
    return _from_part(access, connection, head, wanted, version)


def range_fields(first: int, version: Version, end: int | None = None) -> Fields:
    """A range request from ``first`` up to ``end``, or to the end of the file, under the condition of the version."""
    wanted = ("Range", f"bytes={first}-{'' if end is None else end - 1}")
    tag = version.if_range
    return (wanted, ("If-Range", tag)) if tag else (wanted,)


@contextmanager
def refusals(but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Raise Refused where the response to a range request says something that a plain GET need not say.

    ``but`` is left as it is.
    """
    try:
        yield
    except but:
        raise
    except HttpFailed as exc:
        # Who asks to be left alone for a while is not asked for the range again at once.
        raise Refused(exc, passing=may_pass(exc.status) and exc.retry_after is None) from exc
    except OtherBytes as exc:
        # The range of another place, or in another coding: the plain GET shows it, or that the file has changed.
        raise Refused(exc, other_bytes=True) from exc
    except (ProtocolViolated, BadRedirect, Unverifiable, Changed) as exc:
        raise Refused(exc) from exc
    except (Incomplete, TimedOut) as exc:
        raise Refused(exc, passing=True) from exc
    except (ConnectFailed, DnsFailed, TlsFailed, Blocked) as exc:
        # A range may be redirected where the whole file is not; the host of the file is the same for both.
        if exc.redirected:
            raise Refused(exc) from exc
        raise


def may_pass(status: int) -> bool:
    """Whether a later request may be answered otherwise than with ``status``, whatever it asks for."""
    if status < 500:  # noqa: PLR2004 - RFC 9110, 15.6
        return status in PASSING_4XX
    return status not in LASTING_5XX


def _from_part(access: Access, connection: Connection, head: Head, wanted: Resume, version: Version) -> Opened:
    with refusals(), closed_on_error(connection):
        extent = part(head, wanted.first, version.size)
        now = Version.of(head, extent.size)
        if difference := version.difference(now):
            raise Changed(f"{head.target}: {difference}{wanted}")
        if not version.says_as_much(now):
            # RFC 9110, 15.3.7: a 206 has the validators that a 200 would have.
            raise Changed(f"{head.target}: the range does not say what it is of, or says it differently{wanted}")
        version = version.taken_up(now)
        answer = access.answer(connection, head, extent, size=version.size)
        answer, overlap = _advance(access, answer, wanted, version)
        return Opened(answer, version, head, overlap=overlap, reread=wanted.offset - extent.first)


def _from_whole(access: Access, connection: Connection, head: Head, wanted: Resume, version: Version) -> Opened:
    """The file from its first byte: no byte of it is skipped, so all of the digest is of this one response."""
    extent = whole(head, version.size)
    now = Version.of(head, extent.size)
    check_same(head, version, now, str(wanted))
    size = version.size if now.size is None else now.size
    return Opened(access.answer(connection, head, extent, size=size), replace(now, size=size), head, ranged=False)


def check_same(head: Head, version: Version, now: Version, done: str) -> None:
    """Hold what a response to a plain GET says of the file against ``version``. Raises AnotherKind, Changed."""
    difference = version.difference(now)
    if difference is None:
        return
    if version.is_dated_by_response(now):
        raise Unsteady(f"{head.target}: its Last-Modified is the time of each response{done}")
    if version.is_another_kind_than(now):
        size = "" if now.size is None else f", {now.size} bytes"
        raise AnotherKind(
            f"{head.target}: the server sends something else now ({now.kind or 'of no type'}{size}), perhaps an error"
            f" or login page, where the file was {version.kind or 'of no type'}{done}"
        )
    raise Changed(f"{head.target}: {difference}{done}")


def _advance(access: Access, answer: Answer, wanted: Resume, version: Version) -> tuple[Answer, bytes]:
    """Read ``answer`` up to the offset; return the response that stands there and the bytes from the tail on.

    Raises OtherBytes when the tail's bytes are others now.
    """
    answer, overlap = across_parts(access, answer, version, wanted.first, wanted.offset)
    if digest(overlap[: wanted.tail.length]) != wanted.tail.digest:
        answer.connection.close()
        raise OtherBytes(f"{answer.connection.target}: the last hashed bytes have changed{wanted}")
    return answer, bytes(overlap)


def across_parts(access: Access, answer: Answer, version: Version, first: int, end: int) -> tuple[Answer, memoryview]:
    """The response that stands at ``end``, and the bytes from ``first`` up to there, in however many parts they come.

    Closes the connection when that fails. Raises Changed, other OriginErrors, DeadlineReached.
    """
    received = memoryview(bytearray(end - first))
    while answer.position < end:
        with closed_on_error(answer.connection):
            try:
                answer.skip_to(first, access.heartbeat)
                answer.read_up_to(end, received, access.heartbeat)
            except OnlyPart:
                answer = next_part(access, answer, version)
    return answer, received


def next_part(access: Access, answer: Answer, version: Version) -> Answer:
    """The part right after ``answer``, which the tail proves together with it. Raises OriginError."""
    at = answer.position
    if (answer.length or 0) < LEAST_PART_BYTES:
        raise ProtocolViolated(f"{answer.connection.target}: the server sends ranges of {answer.length} bytes")
    access.asking.idle.give(answer.connection)
    connection, head = access.get_there(*range_fields(at, version))
    with closed_on_error(connection):
        if head.status != PARTIAL:
            raise access.failed(head)
        extent = part(head, at, version.size)
        if extent.first != at or version.difference(Version.of(head, extent.size)):
            raise ProtocolViolated(f"{head.target}: the server sent a different range than requested")
        return access.answer(connection, head, extent, size=version.size)


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close ``connection`` when the block fails: what its response would still bring belongs to nobody."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
