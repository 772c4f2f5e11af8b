"""Reads a file ahead over several connections, while its reader hashes the bytes in order.

The first response is one open-ended stream. A thread of its own reads it, so that receiving and decrypting run beside
hashing. While it flows, the concurrency controller says how many connections pay. Each further one claims a part of
the bytes ahead (``reassembly``) and proves by its first response that the origin serves ranges; only then is the first
stream cut off there. Several connections therefore never fail where one would have read the file: one takes over.
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
from urlsum.origin.http11.pool import retry_on_stale_connection
from urlsum.origin.parallel.ranges import NoRanges
from urlsum.origin.version.responses import is_transient

if TYPE_CHECKING:
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.client import Client
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.stream import Block
    from urlsum.origin.parallel.concurrency import ConcurrencyController
    from urlsum.origin.parallel.ranges import Ranges
    from urlsum.origin.parallel.reassembly import Part, ReassemblyBuffer
    from urlsum.origin.version.version import Overlap

# How long the reader waits for a whole block before it takes what there is; also how soon it sees that time is up.
LOOK_SECONDS = 0.1
# For threads to see that it is over: they are woken, so this is only met by one that is just connecting, which then
# ends by itself within CONNECT_TIMEOUT.
JOIN_SECONDS = 0.5


class Prefetch:
    """Reads what comes after the position of ``body``, where ``reassembly`` begins.

    ``ranges`` is None where one connection has to do. ``silence`` is how many seconds the reader waits at most for the
    next byte, whatever is tried meanwhile: the lease of a task is made to outlast just that.
    """

    def __init__(
        self,
        body: ResponseBody,
        reassembly: ReassemblyBuffer,
        ranges: Ranges | None,
        concurrency: ConcurrencyController,
        *,
        deadline: float,
        silence: float,
        client: Client,
    ) -> None:
        self.ranges = ranges
        self.pool = client.pool
        self.reassembly = reassembly
        self._concurrency = concurrency
        self._origin_limit = client.origin_limit
        self._where = body.connection.target
        self._deadline = deadline
        self._silence = silence
        self._observe_seconds = client.tuning.observe_seconds
        self._clock = client.clock
        self._waited = 0.0
        self._observed_at = self._clock()
        self._last_error: OriginError | None = None
        self._threads: list[RangeThread] = []
        self._received = 0  # by fetchers that are gone
        self._origin_limit.try_acquire(self._where, first=True)
        self._start(body)

    @property
    def size(self) -> int | None:
        """The total length of the file once it is proven."""
        return self.reassembly.size

    @property
    def overlap(self) -> Overlap | None:
        """What must lie before the bytes that were read last, where another answer begins."""
        return self.reassembly.overlap

    @property
    def connections(self) -> int:
        """How many are at work now."""
        return sum(thread.is_alive() for thread in self._threads)

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
            view = self.reassembly.read(partly=partly, within=LOOK_SECONDS)
            before, now = now, self._clock()
            self._waited += now - before
            if view is not None:
                return view
            partly = now - started >= LOOK_SECONDS

    def close(self) -> None:
        """End all connections and threads; a second time does nothing."""
        self.reassembly.close()
        for thread in self._threads:
            thread.abort()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def finish(self) -> None:
        """At the end of the file: let the connections be given back to the pool."""
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def surplus(self, thread: RangeThread) -> bool:
        """Whether ``thread`` is one too many."""
        alive = [other for other in self._threads if other.is_alive()]
        return thread in alive[self._concurrency.target :] or (
            thread in alive[1:] and self._origin_limit.exceeded(self._where)
        )

    def left(self) -> None:
        """Hear that a fetcher is gone."""
        self._origin_limit.release(self._where)

    @property
    def alone(self) -> bool:
        """Whether one connection is to read all that is left."""
        return self._concurrency.target == 1

    def failed(self, part: Part, error: Exception, *, opening: bool) -> None:
        """Settle what becomes of ``part`` after ``error``: another try, or the end of the file's story."""
        if opening and isinstance(error, HttpFailed | BadRedirect | Blocked):
            # The response to one of several requests is not the last word on the file: the rest is asked for alone.
            kind = Incomplete if isinstance(error, HttpFailed) and is_transient(error.status) else RangesFailed
            error = kind(f"{error}, when more of the file was asked for", retry_after=error.retry_after)
        if isinstance(error, NoRanges):
            self.ranges = None
        elif isinstance(error, OriginError) and not self.reassembly.closed:
            self._last_error = error
            self._concurrency.refused(self._clock(), error.retry_after)
        # What an answer that is open says of the file is its own last word; what keeps one from being opened may pass.
        final = self.ranges is None or not isinstance(error, OriginError) or (not opening and not _passing(error))
        self.reassembly.give_up(part, error, final=final)

    def _steer(self, now: float) -> None:
        if now - self._observed_at < self._observe_seconds:
            return
        self._observed_at = now
        for thread in [thread for thread in self._threads if not thread.is_alive()]:
            self._threads.remove(thread)
            self._received += thread.received
        if self.ranges is None:
            return
        count = self._received + sum(thread.received for thread in self._threads)
        target = self._concurrency.observe(now, count, self._waited)
        self.reassembly.widen(target, self._concurrency.each)
        while len(self._threads) < target and self.reassembly.wanted(target):
            if not self._origin_limit.try_acquire(self._where, first=not self._threads):
                break
            self._start(None)

    def _start(self, body: ResponseBody | None) -> None:
        thread = RangeThread(self, body)
        self._threads.append(thread)
        thread.start()


def _passing(error: OriginError) -> bool:
    return isinstance(error, Incomplete | TimedOut)


class RangeThread(threading.Thread):
    """Fetches until there is nothing left to do for it. ``received`` counts the bytes that it brought.

    It begins with ``body``, which is open already, or with a connection of its own.
    """

    def __init__(self, owner: Prefetch, body: ResponseBody | None) -> None:
        super().__init__(name="fetch", daemon=True)
        self.received = 0
        self._owner = owner
        self._reassembly = owner.reassembly
        self._body = body
        self._connection: Connection | None = body.connection if body else None

    def run(self) -> None:
        """Fetch part after part."""
        try:
            if self._body is not None:
                self._fetch(self._reassembly.begin(self), self._body)
            while part := self._next():
                self._fetch(part, None)
        finally:
            self._let_go()
            self._owner.left()

    def abort(self) -> None:
        """Wake it where it waits for the origin; from any thread."""
        connection = self._connection
        if connection is not None:
            connection.stream.abort()

    def _next(self) -> Part | None:
        # The first part may have failed before there were ranges to go on with.
        if self._owner.ranges is None or self._owner.surplus(self):
            return None
        return self._reassembly.claim(self, alone=self._owner.alone)

    def _fetch(self, part: Part, body: ResponseBody | None) -> None:
        opening = body is None
        try:
            if body is None:
                body, overlap = self._open(part)
                self._reassembly.prove(part, overlap)
                opening = False
            while block := self._reassembly.block(part):
                if not self._fill(part, block, body):
                    self._reassembly.end(part)
                    break
        except Exception as exc:  # noqa: BLE001 - carried over to the reader's thread and raised there
            self._let_go()
            self._owner.failed(part, exc, opening=opening)

    def _open(self, part: Part) -> tuple[ResponseBody, Overlap]:
        ranges = self._owner.ranges
        if ranges is None or part.end is None:
            raise ValueError("only a part of known length can be asked for")
        # What waits counts with the origin, too: it is taken before one more is opened.
        connection, self._connection = self._connection or ranges.waiting(), None
        if connection is not None and not connection.reusable:
            # The part before was cut off: what its answer would still bring is somebody else's.
            connection.close()
            connection = None
        return retry_on_stale_connection(connection, ranges.connect, partial(self._ask, ranges, part.at, part.end))

    def _ask(self, ranges: Ranges, first: int, end: int, connection: Connection) -> tuple[ResponseBody, Overlap]:
        self._connection = connection
        if self._reassembly.closed:
            # Whoever closed it may have looked for a connection to abort before this one was there.
            raise DeadlineReached
        body, overlap = ranges.open(connection, first, end)
        self._connection = body.connection
        return body, overlap

    def _fill(self, part: Part, block: Block, body: ResponseBody) -> bool:
        """Fill ``block``; False when the file has ended first."""
        while (before := block.filled) < len(block.view):
            try:
                if not body.fill(block):
                    return False
            finally:
                self.received += block.filled - before
                self._reassembly.came(part, block.filled - before)
        return True

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._reassembly.closed:
            connection.close()
        else:
            self._owner.pool.release(connection)
