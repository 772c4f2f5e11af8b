"""Parallel ranges: reads a file ahead over several connections, while its reader hashes what came, in order.

The first answer is one open-ended stream, read by a thread of its own so that receiving and decrypting overlap with
hashing. While it flows, the ramp says how many connections are worth having; each further one takes a share of what
lies ahead (``window``) and proves by its first answer that the origin does ranges, before the first stream is cut off
there. So several connections never fail where one would have read the file: what they cannot do falls back to it.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from urlsum.errors import (
    BadRedirect,
    Blocked,
    DeadlineReached,
    HttpFailed,
    Incomplete,
    OriginError,
    RangesFailed,
    TimedOut,
)
from urlsum.origin.http11.pool import ask
from urlsum.origin.parallel.ranges import NoRanges
from urlsum.origin.version.resume import may_pass

if TYPE_CHECKING:
    from urlsum.origin.http11.body import Answer
    from urlsum.origin.http11.client import Asking
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.stream import Block
    from urlsum.origin.parallel.concurrency import Ramp
    from urlsum.origin.parallel.ranges import Ranges
    from urlsum.origin.parallel.reassembly import Part, Window
    from urlsum.origin.version.version import Tail

# How long the reader waits for a whole block before it takes what there is; also how soon it sees that time is up.
LOOK_SECONDS = 0.1
# How often the ramp is told what has come; also the pause before a connection that broke is replaced.
OBSERVE_SECONDS = 0.05
# For threads to see that it is over: they are woken, so this is only met by one that is just connecting, which then
# ends by itself within CONNECT_TIMEOUT.
JOIN_SECONDS = 0.5


class Prefetch:
    """Reads what comes after the position of ``answer``, where ``window`` begins.

    ``ranges`` is None where one connection has to do. ``silence`` is how many seconds the reader waits at most for the
    next byte, whatever is tried meanwhile: the lease of a task is made to outlast just that.
    """

    def __init__(
        self,
        answer: Answer,
        window: Window,
        ranges: Ranges | None,
        ramp: Ramp,
        *,
        deadline: float,
        silence: float,
        asking: Asking,
    ) -> None:
        self.ranges = ranges
        self.idle = asking.idle
        self.window = window
        self._ramp = ramp
        self._crowd = asking.crowd
        self._where = answer.connection.target
        self._deadline = deadline
        self._silence = silence
        self._clock = asking.clock
        self._waited = 0.0
        self._observed_at = self._clock()
        self._last_error: OriginError | None = None
        self._fetchers: list[Fetcher] = []
        self._received = 0  # by fetchers that are gone
        self._crowd.enter(self._where, first=True)
        self._start(answer)

    @property
    def size(self) -> int | None:
        """The total length of the file once it is proven."""
        return self.window.size

    @property
    def lead(self) -> Tail | None:
        """What must lie before the bytes that were read last, where another answer begins."""
        return self.window.lead

    @property
    def connections(self) -> int:
        """How many are at work now."""
        return sum(fetcher.is_alive() for fetcher in self._fetchers)

    def read(self) -> memoryview:
        """The next bytes in order, valid until the next call; empty at the proven end.

        Raises OriginError, once everything before the trouble was read, and DeadlineReached.
        """
        started = now = self._clock()
        partly = False
        while True:
            if now >= self._deadline:
                raise DeadlineReached
            if now - started > self._silence:
                raise self._last_error or TimedOut(f"{self._where}: nothing came for {self._silence:g} s")
            self._steer(now)
            view = self.window.read(partly=partly, within=LOOK_SECONDS)
            before, now = now, self._clock()
            self._waited += now - before
            if view is not None:
                return view
            partly = now - started >= LOOK_SECONDS

    def close(self) -> None:
        """End all connections and threads; a second time does nothing."""
        self.window.close()
        for fetcher in self._fetchers:
            fetcher.abort()
        for fetcher in self._fetchers:
            fetcher.join(JOIN_SECONDS)

    def finish(self) -> None:
        """At the end of the file: let the connections be given back to the pool."""
        for fetcher in self._fetchers:
            fetcher.join(JOIN_SECONDS)

    def surplus(self, fetcher: Fetcher) -> bool:
        """Whether ``fetcher`` is one too many."""
        alive = [other for other in self._fetchers if other.is_alive()]
        return fetcher in alive[self._ramp.target :] or (fetcher in alive[1:] and self._crowd.too_many(self._where))

    def left(self) -> None:
        """Hear that a fetcher is gone."""
        self._crowd.leave(self._where)

    @property
    def alone(self) -> bool:
        """Whether one connection is to read all that is left."""
        return self._ramp.target == 1

    def failed(self, part: Part, error: Exception, *, opening: bool) -> None:
        """Settle what becomes of ``part`` after ``error``: another try, or the end of the file's story."""
        if opening and isinstance(error, HttpFailed | BadRedirect | Blocked):
            # The response to one of several requests is not the last word on the file: the rest is asked for alone.
            kind = Incomplete if isinstance(error, HttpFailed) and may_pass(error.status) else RangesFailed
            error = kind(f"{error}, when more of the file was asked for", retry_after=error.retry_after)
        if isinstance(error, NoRanges):
            self.ranges = None
        elif isinstance(error, OriginError) and not self.window.closed:
            self._last_error = error
            self._ramp.refused(self._clock(), error.retry_after)
        # What an answer that is open says of the file is its own last word; what keeps one from being opened may pass.
        final = self.ranges is None or not isinstance(error, OriginError) or (not opening and not _passing(error))
        self.window.give_up(part, error, final=final)

    def _steer(self, now: float) -> None:
        if now - self._observed_at < OBSERVE_SECONDS:
            return
        self._observed_at = now
        for fetcher in [fetcher for fetcher in self._fetchers if not fetcher.is_alive()]:
            self._fetchers.remove(fetcher)
            self._received += fetcher.received
        if self.ranges is None:
            return
        count = self._received + sum(fetcher.received for fetcher in self._fetchers)
        target = self._ramp.observe(now, count, self._waited)
        self.window.widen(target, self._ramp.each)
        while len(self._fetchers) < target and self.window.wanted(target):
            if not self._crowd.enter(self._where, first=not self._fetchers):
                break
            self._start(None)

    def _start(self, answer: Answer | None) -> None:
        fetcher = Fetcher(self, answer)
        self._fetchers.append(fetcher)
        fetcher.start()


def _passing(error: OriginError) -> bool:
    return isinstance(error, Incomplete | TimedOut)


class Fetcher(threading.Thread):
    """Fetches until there is nothing left to do for it. ``received`` counts the bytes that it brought.

    It begins with ``answer``, which is open already, or with a connection of its own.
    """

    def __init__(self, owner: Prefetch, answer: Answer | None) -> None:
        super().__init__(name="fetch", daemon=True)
        self.received = 0
        self._owner = owner
        self._window = owner.window
        self._answer = answer
        self._connection: Connection | None = answer.connection if answer else None

    def run(self) -> None:
        """Fetch part after part."""
        try:
            if self._answer is not None:
                self._fetch(self._window.begin(self), self._answer)
            while part := self._next():
                self._fetch(part, None)
        finally:
            self._let_go()
            self._owner.left()

    def abort(self) -> None:
        """Wake it where it waits for the origin; from any thread."""
        connection = self._connection
        if connection is not None:
            connection.wire.abort()

    def _next(self) -> Part | None:
        # The first part may have failed before there were ranges to go on with.
        if self._owner.ranges is None or self._owner.surplus(self):
            return None
        return self._window.claim(self, alone=self._owner.alone)

    def _fetch(self, part: Part, answer: Answer | None) -> None:
        opening = answer is None
        try:
            if answer is None:
                answer, lead = self._open(part)
                self._window.prove(part, lead)
                opening = False
            while block := self._window.block(part):
                if not self._fill(part, block, answer):
                    self._window.end(part)
                    break
        except Exception as exc:  # noqa: BLE001 - carried over to the reader's thread and raised there
            self._let_go()
            self._owner.failed(part, exc, opening=opening)

    def _open(self, part: Part) -> tuple[Answer, Tail]:
        ranges = self._owner.ranges
        if ranges is None or part.end is None:
            raise ValueError("only a part of known length can be asked for")
        # What waits counts with the origin, too: it is taken before one more is opened.
        connection, self._connection = self._connection or ranges.waiting(), None
        if connection is not None and not connection.reusable:
            # The part before was cut off: what its answer would still bring is somebody else's.
            connection.close()
            connection = None
        return ask(connection, ranges.connect, partial(self._ask, ranges, part.at, part.end))

    def _ask(self, ranges: Ranges, first: int, end: int, connection: Connection) -> tuple[Answer, Tail]:
        self._connection = connection
        if self._window.closed:
            # Whoever closed it may have looked for a connection to abort before this one was there.
            raise DeadlineReached
        answer, lead = ranges.open(connection, first, end)
        self._connection = answer.connection
        return answer, lead

    def _fill(self, part: Part, block: Block, answer: Answer) -> bool:
        """Fill ``block``; False when the file has ended first."""
        while (before := block.filled) < len(block.view):
            try:
                if not answer.fill(block):
                    return False
            finally:
                self.received += block.filled - before
                self._window.came(part, block.filled - before)
        return True

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._window.closed:
            connection.close()
        else:
            self._owner.idle.give(connection)
