"""One file of one origin: the status, the proof of version, and the body.

HEAD is never asked: what an origin says there and what it does on GET differ too often.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import Changed, HttpFailed, ProtocolViolated
from urlsum.origin.answer import Answer
from urlsum.origin.asking import Asking
from urlsum.origin.body import Body
from urlsum.origin.buffers import BLOCKS_PER_CONNECTION, RESERVE_BLOCKS, Budget, Buffers
from urlsum.origin.extent import part, whole
from urlsum.origin.fields import retry_after
from urlsum.origin.idle import Idle
from urlsum.origin.pace import Pace
from urlsum.origin.prefetch import Prefetch
from urlsum.origin.ramp import Ramp
from urlsum.origin.ranges import Ranges
from urlsum.origin.version import Version
from urlsum.origin.window import Window
from urlsum.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.connection import Connection
    from urlsum.origin.guard import Guard
    from urlsum.origin.head import Head
    from urlsum.origin.version import Tail
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint

    Fields = tuple[tuple[str, str], ...]

__all__ = ["Body", "Origin"]

OK = 200
PARTIAL = 206
NOT_MODIFIED = 304
RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True, slots=True)
class _Resume:
    """Where to go on, of which version.

    Asked for is not ``offset`` but the beginning of the tail before it: whatever the origin says of the version,
    the bytes must bear it out. The answer is never empty either, so no 416 for a checkpoint at the very end.
    """

    offset: int
    version: Version
    tail: Tail

    @property
    def first(self) -> int:
        return self.tail.start

    @classmethod
    def of(cls, checkpoint: Checkpoint | None) -> _Resume | None:
        """Raises Changed when the checkpoint proves nothing."""
        if checkpoint is None or checkpoint.offset == 0:
            return None
        version = Version.load(checkpoint.validator)
        tail = version.tail
        if tail is None or tail.end > checkpoint.offset:
            raise Changed("the checkpoint proves nothing about the bytes before its offset; the file is read again")
        return cls(checkpoint.offset, version, tail)


class Origin:
    """Opens files over HTTP/1.1. Safe for many threads, which share its idle connections and its buffers.

    ``clock`` is monotonic and the one that deadlines are on; ``wall_clock`` (epoch seconds) only reads a
    Retry-After date of an answer without Date.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        idle = Idle(clock)
        self._asking = Asking(settings, guard, idle, clock=clock)
        # One file may have it all; several share it, and each can go on with its reserve alone.
        self._budget = Budget(settings.connections_per_origin * BLOCKS_PER_CONNECTION - RESERVE_BLOCKS)
        # Nobody closes an origin: what waits idle goes with it.
        weakref.finalize(self, idle.close)

    def open(self, url: str, *, deadline: float, resume: Checkpoint | None = None) -> Body:
        """The file at ``url``, from the start, or from ``resume`` on if it is provably the same version.

        Raises InvalidUrl, every OriginError (Changed when ``resume`` cannot be gone on from), and DeadlineReached.
        """
        going_on = _Resume.of(resume)
        ranged = going_on is not None
        connection, head = self._asking.follow(url, _range_fields(going_on), deadline)
        if head.status == RANGE_NOT_SATISFIABLE and ranged:
            # Either the file is shorter now or the origin cannot do ranges: the whole file tells.
            connection.close()
            connection, head = self._asking.follow(url, (), deadline)
            ranged = False
        try:
            self._check_status(head, ranged=ranged)
            return self._body(url, connection, head, going_on, deadline)
        except BaseException:
            connection.close()
            raise

    def _check_status(self, head: Head, *, ranged: bool) -> None:
        if head.status == OK or (head.status == PARTIAL and ranged):
            return
        if head.status == PARTIAL:
            # RFC 9110, 15.3.7: the answer to a range request only.
            raise ProtocolViolated(f"{head.target}: a part of the file was sent (206) where all of it was asked for")
        if head.status == NOT_MODIFIED:
            # RFC 9110, 15.4.5: the answer to a conditional request only.
            raise ProtocolViolated(f"{head.target}: status 304 to a request without a condition")
        # 204 and 205 say that there is no file, 203 that a proxy changed it, 201 and 202 that it is somewhere or
        # sometime else, and 600 and above is to be taken for a server error (RFC 9110, 15).
        wait = retry_after(head.get("retry-after"), date=head.get("date"), now=self._wall_clock())
        raise HttpFailed(head.status, f"{head.target}: the origin answered with status {head.status}", retry_after=wait)

    def _body(self, url: str, connection: Connection, head: Head, resume: _Resume | None, deadline: float) -> Body:
        known = resume.version if resume else Version()
        asked = resume if head.status == PARTIAL else None
        extent = part(head, asked.first, known.size) if asked else whole(head, known.size)
        now = Version.of(head, extent.size)
        if difference := known.difference(now):
            raise Changed(f"{head.target}: {difference}{_after(resume)}")
        if head.length is None and extent.end is not None:
            connection.expect(extent.end - extent.first)
        settings = self._settings
        version = known.taken_up(now)
        answer = Answer(
            connection,
            extent,
            size=version.size,
            max_bytes=settings.max_bytes,
            pace=Pace(settings.min_bytes_per_second, settings.min_rate_seconds),
        )

        # Who sends the whole file where a part was asked for would do so again.
        ranged = resume is None or asked is not None

        def ahead(answer: Answer) -> Prefetch:
            return self._ahead(url, answer, version, head, deadline, ranged=ranged)

        # A borrowed end is proven by what comes after it, which only a plain reader looks at.
        body = Body(answer, version, self._asking.idle, ahead=None if extent.borrowed else ahead)
        if resume is not None:
            try:
                self._go_on(body, head, resume)
            except BaseException:
                # An origin without ranges is read from its start, and that may take several connections.
                body.close()
                raise
        return body

    def _go_on(self, body: Body, head: Head, resume: _Resume) -> None:
        if not body.proves(resume.tail):
            raise Changed(f"{head.target}: the last bytes that were hashed are others now{_after(resume)}")
        body.skip_to(resume.offset)

    def _ahead(
        self, url: str, answer: Answer, version: Version, head: Head, deadline: float, *, ranged: bool
    ) -> Prefetch:
        settings, clock = self._settings, self._asking.clock
        # Chunks tell their end themselves, so theirs is only known when it is reached.
        size = None if head.chunked else answer.size
        ranges = None
        proven = size is not None and size == version.size and version.tells_apart
        if proven and ranged and settings.connections_per_origin > 1:
            ranges = Ranges(
                url,
                head.target,
                version,
                asking=self._asking,
                settings=settings,
                deadline=deadline,
                wall_clock=self._wall_clock,
            )
        return Prefetch(
            answer,
            Window(answer.position, size, Buffers(self._budget)),
            ranges,
            Ramp(settings.connections_per_origin, latency=answer.connection.latency, now=clock()),
            deadline=deadline,
            silence=settings.connect_timeout + settings.read_timeout,
            asking=self._asking,
        )


def _range_fields(resume: _Resume | None) -> Fields:
    if resume is None:
        return ()
    asked = ("Range", f"bytes={resume.first}-")
    tag = resume.version.if_range
    return (asked, ("If-Range", tag)) if tag else (asked,)


def _after(resume: _Resume | None) -> str:
    return f"; {human_bytes(resume.offset)} had been hashed" if resume else ""
