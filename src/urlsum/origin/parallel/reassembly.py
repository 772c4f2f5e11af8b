"""The reassembly buffer: parts of a file arrive out of order into a bounded number of blocks, and are read in order.

A free connection claims the next unrequested range as its part. Memory is allocated per block as bytes arrive, not per
part: parallel connections are half a part ahead on average, so this halves the memory. One block is always reserved for
the head-of-line part; otherwise later parts could fill the buffer and deadlock.

One lock protects everything, and nothing blocks outside of it; no clock, no sockets.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field

from urlsum.origin.http11.stream import Block
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION

if TYPE_CHECKING:
    from urlsum.origin.parallel.buffers import Buffers
    from urlsum.origin.tuning import Tuning
    from urlsum.origin.version.version import Overlap

# A part takes a slow connection this long: see ``Tuning.slow_part_bytes``.
PART_SECONDS = 0.2
# The least part is a quarter of a block: at 20 MB/s it takes 13 ms, and its request and overlap some 2.
LEAST_PART_DIVISOR = 4
# Tries of one part without progress until its error fails the download.
MAX_TRIES = 3


class ReassemblyBuffer:
    """Serves one reader and any number of range threads.

    ``changed`` is the lock; it is notified when there may be bytes to read, a part to claim, or a free block.
    """

    def __init__(self, first: int, size: int | None, buffers: Buffers, tuning: Tuning) -> None:
        self.changed = threading.Condition()
        self.size = size
        self.closed = False
        self.overlap: Overlap | None = None
        """The overlap before the bytes that were read last; None unless a new response begins with them."""
        self._buffers = buffers
        self._connections = 1
        self._tuning = tuning
        self._part_bytes = tuning.part_bytes
        # The whole rest of the file is one part until a second connection splits it.
        self._parts = deque([Part(first, size, first, granted=first)])
        self._read: PartBlock | None = None

    # --- for range threads

    def begin(self, owner: object) -> Part:
        """The first part, whose response is already open."""
        with self.changed:
            part = self._parts[0]
            part.owner, part.proven, part.response_end = owner, True, part.end
            return part

    def claim(self, owner: object, *, to_end: bool) -> Part | None:
        """A part to request: an abandoned one, else one split off the last; None without one, or when closed.

        ``to_end`` claims the whole rest: a single connection needs only one range.
        """
        with self.changed:
            part = None if self.closed else self._abandoned() or self._split_last()
            if part is None:
                return None
            if not to_end and part.end is not None and part is self._parts[-1]:
                share = self._claim_bytes(part.end - part.position)
                # A request of its own would cost more than the wait for the last connection, which takes the rest.
                if part.end - part.position >= share + self._least_bytes:
                    self._split(part, part.position + share)
            part.owner, part.granted, part.response_end, part.proven, part.overlap = (
                owner,
                part.position,
                part.end,
                False,
                None,
            )
            part.tries += 1
            part.starved = False
            return part

    def prove(self, part: Part, overlap: Overlap | None = None) -> None:
        """Note that a response for ``part`` is open and checked, so the part before may stop at its beginning.

        ``overlap`` holds the bytes of the response before the part, for the reader to compare.
        """
        with self.changed:
            part.proven, part.overlap = True, overlap
            self.changed.notify_all()

    def block(self, part: Part) -> Block | None:
        """A block for the next bytes of ``part``; None at its end, or when the buffer is closed.

        Waits while the buffer is full (back-pressure), and at the end of a part until the next one is proven.
        """
        with self.changed:
            while not self.closed:
                if block := self._grant_block(part):
                    return block
                if part.granted == part.end and self._may_stop(part):
                    part.owner = None
                    return None
                # Notified when a block was released or a part was proven, but not when another file releases blocks.
                self.changed.wait(0.05)
            return None

    def add_received(self, part: Part, count: int) -> None:
        """Count ``count`` bytes that arrived in the last block of ``part``."""
        part.position += count
        block = part.blocks[-1] if part.blocks else None
        if block is None or block.filled == len(block.view) or part.complete:
            with self.changed:
                self.changed.notify_all()

    def end(self, part: Part) -> None:
        """Note that the response ended at the proven end of a file of unknown size."""
        with self.changed:
            if part.end is None:
                part.end = part.position
            self.changed.notify_all()

    def give_up(self, part: Part, error: Exception, *, final: bool, tried: bool = True) -> None:
        """Leave the rest of ``part`` to another try; fail it if ``final``, or after MAX_TRIES without progress.

        A part that nobody could ask for, because the origin has no place for another connection, was not ``tried``.
        """
        with self.changed:
            part.owner = None
            part.tries -= not tried
            part.starved = not tried
            if part.position - part.first >= self._tuning.block_bytes:
                # A block is progress: an origin may cut every connection and still be read to the end.
                part.first, part.tries = part.position, 0
            if not self._merge_back(part) and (final or part.tries >= MAX_TRIES):
                part.error = error
            self.changed.notify_all()

    def resize(self, connections: int, rate_per_connection: float | None) -> None:
        """Fit the buffer to ``connections``, and parts to ``rate_per_connection`` bytes per second (None: unknown)."""
        self._buffers.max_blocks = BLOCKS_PER_CONNECTION * connections
        self._connections = connections
        if rate_per_connection is not None:
            rate_bytes = self._whole_blocks(int(rate_per_connection * PART_SECONDS))
            self._part_bytes = min(max(rate_bytes, self._tuning.slow_part_bytes), self._tuning.part_bytes)

    def close(self) -> None:
        """Wake all threads; from now on nothing is allocated or read."""
        with self.changed:
            self.closed = True
            self._buffers.close()
            self.changed.notify_all()

    # --- for the reader

    def read(self, *, partial: bool, timeout: float) -> memoryview | None:
        """The next bytes in order, valid until the next call; empty at the end, None after ``timeout`` seconds.

        ``partial`` also takes the bytes of a block that is not full yet. Raises the error of the head-of-line part.
        """
        with self.changed:
            self._release_read()
            self.overlap = None
            view = self._next(partial=partial)
            if view is None and not self.closed:
                self.changed.wait(timeout)
                view = self._next(partial=partial)
            return view

    def has_work(self, target: int) -> bool:
        """Whether another range thread could claim a part; ``target`` is the number of connections."""
        with self.changed:
            return self._abandoned() is not None or (target > 1 and self._is_splittable(self._parts[-1]))

    # --- inside, under the lock

    def _next(self, *, partial: bool) -> memoryview | None:
        while True:
            part = self._parts[0]
            if part.blocks:
                view = self._take(part, partial=partial)
                if view is None or view:
                    return view
                continue
            if part.error is not None:
                raise part.error
            if not part.complete:
                return None
            if len(self._parts) == 1:
                self.size = part.end  # only now: the size is proven once the reader has reached the end
                return memoryview(b"")
            if part.owner is not None and not self._may_stop(part):
                return None
            self._parts.popleft()

    def _take(self, part: Part, *, partial: bool) -> memoryview | None:
        """The new bytes in the first block of ``part``; empty if it has no more, None if they are still to come."""
        block = part.blocks[0]
        finished = len(part.blocks) > 1 or part.complete or part.owner is None
        filled = block.filled  # read once, because it grows
        finished = finished or filled == len(block.view)
        if not finished and (not partial or filled == block.taken):
            return None
        view = block.view[block.taken : filled]
        if view and block.taken == 0:
            self.overlap = block.overlap
        block.taken = filled
        if finished:
            self._release_read()
            self._read = part.blocks.popleft()
        return view

    def _grant_block(self, part: Part) -> PartBlock | None:
        if part.granted == part.end:
            return None
        view = self._buffers.acquire(reserved=0 if part is self._parts[0] else 1)
        if view is None:
            return None
        count = len(view) if part.end is None else min(len(view), part.end - part.granted)
        part.granted += count
        part.blocks.append(PartBlock(view[:count], overlap=part.overlap))
        part.overlap = None
        return part.blocks[-1]

    def _abandoned(self) -> Part | None:
        return next(
            (part for part in self._parts if part.owner is None and not part.complete and part.error is None), None
        )

    def _is_splittable(self, last: Part) -> bool:
        return last.end is not None and last.end - last.granted > 2 * self._tuning.part_bytes and last.error is None

    def _split_last(self) -> Part | None:
        """Split the last part, which a thread is reading to the end of the file; return the new last part."""
        last = self._parts[-1]
        if not self._is_splittable(last):
            return None
        self._split(last, last.granted + self._part_bytes)
        return self._parts[-1]

    def _claim_bytes(self, remaining: int) -> int:
        """How many of ``remaining`` bytes a connection claims, by guided self-scheduling.

        Towards the end of a file parts get smaller: whole blocks, and at most half of a fair share. The last ones are
        a share of all that is still to come, also to the other connections, so that all end at the same time.
        """
        fair = self._whole_blocks(remaining // (2 * self._connections))
        if fair:
            return min(self._part_bytes, fair)
        to_come = sum(part.to_come for part in self._parts)
        return min(max(to_come // self._connections, self._least_bytes), self._tuning.block_bytes)

    @property
    def _least_bytes(self) -> int:
        return self._tuning.block_bytes // LEAST_PART_DIVISOR

    def _whole_blocks(self, count: int) -> int:
        return count // self._tuning.block_bytes * self._tuning.block_bytes

    def _split(self, part: Part, end: int) -> None:
        part.following = Part(end, part.end, end, granted=end)
        part.end = end
        self._parts.append(part.following)

    def _merge_back(self, part: Part) -> bool:
        """Merge ``part`` back if none of it has arrived and the response of the part before reaches its end.

        All unclaimed trailing parts are merged together: otherwise the part before would wait for a successor that no
        thread reads.
        """
        unclaimed: list[Part] = []
        for later in reversed(self._parts):
            if later.owner is not None or later.position != later.first:
                break
            unclaimed.append(later)
        if part not in unclaimed or len(unclaimed) == len(self._parts):
            return False
        before = self._parts[-len(unclaimed) - 1]
        if before.owner is None or before.response_end != unclaimed[0].end:
            return False
        for _ in unclaimed:
            self._parts.pop()
        before.end, before.following = unclaimed[0].end, None
        return True

    def _may_stop(self, part: Part) -> bool:
        """Whether the thread of ``part`` may stop at its end: its response ends there, or another has taken over.

        Until then it may have to read the rest itself, if the origin turns out to serve no ranges. Where only its own
        connection has a place, nobody else can take over.
        """
        if part.response_end == part.end:
            return True
        following = part.following
        return (
            following is None
            or following.proven
            or following.complete
            or following.starved
            or following.error is not None
        )

    def _release_read(self) -> None:
        if self._read is not None:
            self._buffers.release(self._read.view)
            self._read = None
            self.changed.notify_all()


class PartBlock(Block, eq=False):
    """A block of a part. ``overlap`` is that of the response whose first bytes it holds, else None."""

    overlap: Overlap | None = None


class Part(Struct, eq=False):
    """The bytes of the file from ``first`` to ``end`` (None: to the unknown end of the file).

    ``position`` is the next byte to arrive, ``granted`` the end of the allocated blocks. ``owner`` is the range thread
    that reads the part, None without one. ``response_end`` is the end of its response, beyond ``end`` once the part was
    split. ``proven``: the response was checked. ``starved``: there was no place for a connection that reads it.
    ``overlap`` is the overlap of the response.
    """

    first: int
    end: int | None
    position: int
    proven: bool = False
    overlap: Overlap | None = None
    owner: object | None = None
    response_end: int | None = None
    granted: int = 0
    tries: int = 0
    starved: bool = False
    error: Exception | None = None
    following: Part | None = None
    blocks: deque[PartBlock] = field(default_factory=deque)

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.position == self.end

    @property
    def to_come(self) -> int:
        """How many of its bytes have not arrived, to the last one; 0 while its end is unknown."""
        if self.end is None:
            return 0
        # ``position`` counts a block only when its thread returns from it.
        last = self.blocks[-1] if self.blocks else None
        return self.end - self.granted + (len(last.view) - last.filled if last else 0)
