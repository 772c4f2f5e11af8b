"""Reads a file ahead over several connections, while its reader hashes the bytes in order.

The first response is one open-ended stream. A thread of its own reads it, so receiving and decrypting run in parallel
with hashing. Meanwhile, the concurrency controller decides how many connections pay. Each further connection claims a
part (``reassembly``), and its first response must prove that the origin serves ranges before the first stream stops
there. Several connections therefore never fail where one would have read the file: the first one reads on.
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
    OriginBusy,
    OriginError,
    RangesFailed,
    TimedOut,
)
from urlsum.origin.http11.origin_limit import TURN_SECONDS
from urlsum.origin.http11.pool import retry_on_stale_connection
from urlsum.origin.parallel.ranges import NoRanges
from urlsum.origin.version.refusals import is_transient, words

if TYPE_CHECKING:
    from urlsum.deadline import Deadline
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.http11.client import Client
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.stream import Block
    from urlsum.origin.parallel.concurrency import ConcurrencyController
    from urlsum.origin.parallel.ranges import Ranges
    from urlsum.origin.parallel.reassembly import Part, ReassemblyBuffer
    from urlsum.origin.version.version import Overlap

# The reader waits this long for a whole block before it takes a partial one; it also checks the deadline this often.
POLL_SECONDS = 0.1
# The same, and the interval between throughput measurements, while the controller climbs: a step is late by half of it
# on average. Some thirty times in the life of a file.
CLIMB_POLL_SECONDS = 0.005
# The pause after a further connection found no place: a try costs a look-up of the name.
BUSY_SECONDS = 1.0
# The wait for threads to end. They are woken, so only one that is just connecting takes longer; it ends by itself
# within CONNECT_TIMEOUT.
JOIN_SECONDS = 0.5


class Prefetch:
    """Reads the file from the position of ``body`` on, where ``reassembly`` begins.

    ``ranges`` is None if a single connection must read it. ``silence`` is the longest wait of the reader for the next
    byte, in seconds, whatever is tried meanwhile: the lease of a task is made to outlast exactly that.
    """

    def __init__(
        self,
        body: ResponseBody,
        reassembly: ReassemblyBuffer,
        ranges: Ranges | None,
        concurrency: ConcurrencyController,
        *,
        deadline: Deadline,
        silence: float,
        client: Client,
    ) -> None:
        self.ranges = ranges
        self.pool = client.pool
        self.reassembly = reassembly
        self._concurrency = concurrency
        self._where = body.connection.target
        self._deadline = deadline
        self._silence = silence
        self._observe_seconds = client.tuning.observe_seconds
        self._clock = client.clock
        self._waited = 0.0
        self._observed_at = self._clock()
        self._last_error: OriginError | None = None
        self._busy: OriginBusy | None = None  # why the last thread found no place, until bytes come
        self._busy_until = 0.0
        self._threads: list[RangeThread] = []
        self._received = 0  # by threads that have ended
        self._start(body)

    @property
    def size(self) -> int | None:
        """The total length of the file in bytes once it is proven."""
        return self.reassembly.size

    @property
    def overlap(self) -> Overlap | None:
        """The overlap before the bytes that were read last, if a new response begins with them."""
        return self.reassembly.overlap

    @property
    def connections(self) -> int:
        """The number of connections that read now."""
        return sum(thread.is_alive() for thread in self._threads)

    def read(self) -> memoryview:
        """The next bytes in order, valid until the next call; empty at the proven end.

        Raises OriginError, after all bytes before the error were read, DeadlineReached, and OriginBusy when no
        connection is left and none gets its turn.
        """
        started = now = self._clock()
        partial_block = False
        while True:
            if self._deadline.expired:
                raise DeadlineReached
            if now - started > self._silence:
                raise self._last_error or TimedOut(f"{self._where}: no data for {self._silence:g} s")
            self._adjust_connections(now)
            view = self.reassembly.read(partial=partial_block, timeout=self._poll_seconds)
            before, now = now, self._clock()
            self._waited += now - before
            if view is not None:
                self._busy = None
                return view
            if self._busy is not None and not self.connections and now - started > TURN_SECONDS:
                raise self._busy
            partial_block = now - started >= POLL_SECONDS

    def close(self) -> None:
        """End all connections and threads. Idempotent."""
        self.reassembly.close()
        for thread in self._threads:
            thread.abort()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def finish(self) -> None:
        """At the end of the file: wait until the threads have released their connections to the pool."""
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def is_surplus(self, thread: RangeThread) -> bool:
        """Whether ``thread`` exceeds the target of the controller, or another file waits for its connection."""
        alive = [other for other in self._threads if other.is_alive()]
        return thread in alive[self._concurrency.target :] or (thread in alive[1:] and thread.is_wanted)

    @property
    def single_connection(self) -> bool:
        """Whether one connection is to read the whole rest."""
        return self._concurrency.target == 1

    def part_failed(self, part: Part, error: Exception, *, opening: bool) -> None:
        """Decide whether ``part`` gets another try after ``error``, or the download fails.

        ``opening``: the error came before a usable response for the part.
        """
        if opening and isinstance(error, HttpFailed | BadRedirect | Blocked):
            # The response to one of several requests is not final for the file: a single request follows for the rest.
            kind = Incomplete if isinstance(error, HttpFailed) and is_transient(error.status) else RangesFailed
            failed = kind(f"{words(error)}, when more of the file was requested", retry_after=error.retry_after)
            failed.__cause__, error = error, failed
        if isinstance(error, OriginBusy):
            self._busy = error
            self._busy_until = self._clock() + BUSY_SECONDS
            self.reassembly.give_up(part, error, final=False, tried=False)
            return
        if isinstance(error, NoRanges):
            self.ranges = None
        elif isinstance(error, OriginError) and not self.reassembly.closed:
            self._last_error = error
            self._concurrency.refused(self._clock(), error.retry_after)
        # An error of an open response is final, unless it was cut or silent; a failure to open one may pass.
        final = (
            self.ranges is None or not isinstance(error, OriginError) or (not opening and not _is_interruption(error))
        )
        self.reassembly.give_up(part, error, final=final)

    @property
    def _climbing(self) -> bool:
        return self.ranges is not None and self._concurrency.climbing

    @property
    def _poll_seconds(self) -> float:
        # A block of 1 MiB takes 50 ms at 20 MB/s: the climb does not wait for it.
        return CLIMB_POLL_SECONDS if self._climbing else POLL_SECONDS

    def _adjust_connections(self, now: float) -> None:
        interval = self._observe_seconds
        if now - self._observed_at < (min(CLIMB_POLL_SECONDS, interval) if self._climbing else interval):
            return
        self._observed_at = now
        for thread in [thread for thread in self._threads if not thread.is_alive()]:
            self._threads.remove(thread)
            self._received += thread.received
        if self.ranges is None:
            return
        count = self._received + sum(thread.received for thread in self._threads)
        target = self._concurrency.observe(now, count, self._waited)
        self.reassembly.resize(target, self._concurrency.rate_per_connection)
        if self._threads and now < self._busy_until:
            return
        while len(self._threads) < target and self.reassembly.has_work(target):
            self._start(None)

    def _start(self, body: ResponseBody | None) -> None:
        thread = RangeThread(self, body)
        self._threads.append(thread)
        thread.start()


def _is_interruption(error: OriginError) -> bool:
    return isinstance(error, Incomplete | TimedOut)


class RangeThread(threading.Thread):
    """Reads part after part until none is left for it.

    It begins with ``body``, whose response is open already, or without one with a connection of its own.
    """

    def __init__(self, prefetch: Prefetch, body: ResponseBody | None) -> None:
        super().__init__(name="fetch", daemon=True)
        self._counted: tuple[int, Block | None, int] = 0, None, 0
        self._prefetch = prefetch
        self._reassembly = prefetch.reassembly
        self._body = body
        self._connection: Connection | None = body.connection if body else None
        self._found_no_place = False

    def run(self) -> None:
        """Read part after part."""
        try:
            if self._body is not None:
                self._read_part(self._reassembly.begin(self), self._body)
            while part := self._claim():
                self._read_part(part, None)
        finally:
            self._release_connection()

    @property
    def received(self) -> int:
        """How many bytes it received, to the last one: a step of the climb is measured while one block fills."""
        count, block, before = self._counted
        return count if block is None else count + block.filled - before

    def abort(self) -> None:
        """Interrupt its wait for the origin. Any thread may call this."""
        connection = self._connection
        if connection is not None:
            connection.stream.abort()

    @property
    def is_wanted(self) -> bool:
        """Whether another file waits for the connection."""
        connection = self._connection
        return connection is not None and connection.place is not None and connection.place.wanted

    def _claim(self) -> Part | None:
        # The first part may have failed before the origin proved that it serves ranges.
        if self._prefetch.ranges is None or self._found_no_place or self._prefetch.is_surplus(self):
            return None
        return self._reassembly.claim(self, to_end=self._prefetch.single_connection)

    def _read_part(self, part: Part, body: ResponseBody | None) -> None:
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
        except Exception as exc:  # noqa: BLE001 - raised in the reader's thread
            self._found_no_place = isinstance(exc, OriginBusy)
            self._release_connection()
            self._prefetch.part_failed(part, exc, opening=opening)

    def _open(self, part: Part) -> tuple[ResponseBody, Overlap]:
        ranges = self._prefetch.ranges
        if ranges is None or part.end is None:
            raise ValueError("only a part of known length can be asked for")
        # An idle connection counts towards the origin's limit, too, so it is reused before another one is opened.
        connection, self._connection = self._connection or ranges.idle_connection(), None
        if connection is not None and not connection.reusable:
            # The part before was split: the rest of its response belongs to another part.
            connection.close()
            connection = None
        return retry_on_stale_connection(
            connection, ranges.connect, partial(self._request, ranges, part.position, part.end)
        )

    def _request(self, ranges: Ranges, first: int, end: int, connection: Connection) -> tuple[ResponseBody, Overlap]:
        self._connection = connection
        if self._reassembly.closed:
            # close() may have looked for a connection to abort before this one existed.
            raise DeadlineReached
        body, overlap = ranges.open(connection, first, end)
        self._connection = body.connection
        return body, overlap

    def _fill(self, part: Part, block: Block, body: ResponseBody) -> bool:
        """Fill ``block``; False if the file ended first."""
        while (before := block.filled) < len(block.view):
            # In one assignment, because the reader's thread reads it at any time.
            self._counted = self.received, block, before
            try:
                if not body.fill(block):
                    return False
            finally:
                self._counted = self.received, None, 0
                self._reassembly.add_received(part, block.filled - before)
        return True

    def _release_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._reassembly.closed:
            connection.close()
        else:
            self._prefetch.pool.release(connection)
