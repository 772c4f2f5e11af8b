"""The window: parts of a file that come out of order into a bounded number of buffers, and leave them in order.

A part is cut off the front of what nobody has asked for yet, by whoever has a connection to fetch it with. Buffers are
lent block by block as bytes arrive, not part by part: connections that run side by side are then half a part ahead on
average, in half the memory. One block is always left for the first part, or those behind it could fill the window and
wait for it for ever.

Everything here happens under one lock and nothing blocks outside of it; no clock, no sockets.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from urlsum.origin.http11.stream import Block
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION

if TYPE_CHECKING:
    from urlsum.origin.parallel.buffers import Buffers
    from urlsum.origin.tuning import Tuning
    from urlsum.origin.version.version import Overlap

# A part takes a slow connection this long: see ``Tuning.slow_part_bytes``.
PART_SECONDS = 0.2
# How often one part is tried without getting further before its error is the stream's.
MAX_TRIES = 3


class ReassemblyBuffer:
    """One reader, any number of fetchers.

    ``changed`` is the lock and the bell; it is rung when there may be something to read, to fetch, or room for it.
    """

    def __init__(self, first: int, size: int | None, buffers: Buffers, tuning: Tuning) -> None:
        self.changed = threading.Condition()
        self.size = size
        self.closed = False
        self.overlap: Overlap | None = None
        """What must lie before the bytes that were read last; None where they go on with the answer before them."""
        self._buffers = buffers
        self._connections = 1
        self._tuning = tuning
        self._part_bytes = tuning.part_bytes
        # Everything up to the end of the file is one part, until somebody comes to share it.
        self._parts = deque([Part(first, size, first, granted=first)])
        self._read: PartBlock | None = None

    # --- for fetchers

    def begin(self, source: object) -> Part:
        """The first part, for the answer that is open already."""
        with self.changed:
            part = self._parts[0]
            part.source, part.proven, part.reach = source, True, part.end
            return part

    def claim(self, source: object, *, alone: bool) -> Part | None:
        """A part to fetch: one that was given up, else a share of the last; None without one, or when closed.

        ``alone`` asks for all that is left, as one connection wants one open-ended range.
        """
        with self.changed:
            part = None if self.closed else self._given_up() or self._share()
            if part is None:
                return None
            if not alone and part.end is not None and part is self._parts[-1]:
                share = self._share_bytes(part.end - part.at)
                if part.end - part.at > 2 * share:
                    self._cut(part, part.at + share)
            part.source, part.granted, part.reach, part.proven, part.overlap = source, part.at, part.end, False, None
            part.tries += 1
            return part

    def prove(self, part: Part, overlap: Overlap | None = None) -> None:
        """Say that an answer for ``part`` is open and checked: who comes from before may stop at its beginning.

        ``overlap`` is what the answer has before the part, for the reader to compare.
        """
        with self.changed:
            part.proven, part.overlap = True, overlap
            self.changed.notify_all()

    def block(self, part: Part) -> Block | None:
        """Room for the next bytes of ``part``; None at its end, or when the window is closed.

        Waits while others fill the window, and at the end of a part for proof that somebody goes on behind it.
        """
        with self.changed:
            while not self.closed:
                if block := self._granted(part):
                    return block
                if part.granted == part.end and self._relieved(part):
                    part.source = None
                    return None
                # Woken when room was given back or a part was proven; other streams' buffers come back unheard.
                self.changed.wait(0.05)
            return None

    def came(self, part: Part, count: int) -> None:
        """Count ``count`` bytes that the last block of ``part`` has got."""
        part.at += count
        block = part.blocks[-1] if part.blocks else None
        if block is None or block.filled == len(block.view) or part.complete:
            with self.changed:
                self.changed.notify_all()

    def end(self, part: Part) -> None:
        """The answer ended at the proven end of a file of unknown size."""
        with self.changed:
            if part.end is None:
                part.end = part.at
            self.changed.notify_all()

    def give_up(self, part: Part, error: Exception, *, final: bool) -> None:
        """Let another try go on where this one failed; ``final`` when none may, or when there were too many."""
        with self.changed:
            part.source = None
            if part.at - part.first >= self._tuning.block_bytes:
                # Far enough to call it progress: an origin may cut every connection and still be read to the end.
                part.first, part.tries = part.at, 0
            if not self._taken_back(part) and (final or part.tries >= MAX_TRIES):
                part.error = error
            self.changed.notify_all()

    def widen(self, connections: int, each: float | None) -> None:
        """Allow as many blocks as that many connections fill; each brings ``each`` bytes per second, None: unknown."""
        self._buffers.most = BLOCKS_PER_CONNECTION * connections
        self._connections = connections
        if each is not None:
            wanted = self._whole_blocks(int(each * PART_SECONDS))
            self._part_bytes = min(max(wanted, self._tuning.slow_part_bytes), self._tuning.part_bytes)

    def close(self) -> None:
        """Wake everybody; nothing is lent or read any more."""
        with self.changed:
            self.closed = True
            self._buffers.close()
            self.changed.notify_all()

    # --- for the reader

    def read(self, *, partly: bool, within: float) -> memoryview | None:
        """The next bytes in order, valid until the next call; empty at the end, None when they do not come ``within``.

        ``partly`` takes what there is of a block that is not full yet. Raises the error of the part that is next.
        """
        with self.changed:
            self._give_back()
            self.overlap = None
            view = self._next(partly=partly)
            if view is None and not self.closed:
                self.changed.wait(within)
                view = self._next(partly=partly)
            return view

    def wanted(self, target: int) -> bool:
        """Whether another fetcher would find something to do."""
        with self.changed:
            return self._given_up() is not None or (target > 1 and self._shareable(self._parts[-1]))

    # --- inside, under the lock

    def _next(self, *, partly: bool) -> memoryview | None:
        while True:
            part = self._parts[0]
            if part.blocks:
                view = self._taken(part, partly=partly)
                if view is None or view:
                    return view
                continue
            if part.error is not None:
                raise part.error
            if not part.complete:
                return None
            if len(self._parts) == 1:
                self.size = part.end  # not before the reader is there: a size is what was read up to the end
                return memoryview(b"")
            if part.source is not None and not self._relieved(part):
                return None
            self._parts.popleft()

    def _taken(self, part: Part, *, partly: bool) -> memoryview | None:
        """What is new in the first block of ``part``: empty when it was the last of it, None when it is to come."""
        block = part.blocks[0]
        closed = len(part.blocks) > 1 or part.complete or part.source is None
        filled = block.filled  # once: it grows
        closed = closed or filled == len(block.view)
        if not closed and (not partly or filled == block.taken):
            return None
        view = block.view[block.taken : filled]
        if view and block.taken == 0:
            self.overlap = block.overlap
        block.taken = filled
        if closed:
            self._give_back()
            self._read = part.blocks.popleft()
        return view

    def _granted(self, part: Part) -> PartBlock | None:
        if part.granted == part.end:
            return None
        view = self._buffers.take(keep=0 if part is self._parts[0] else 1)
        if view is None:
            return None
        room = len(view) if part.end is None else min(len(view), part.end - part.granted)
        part.granted += room
        part.blocks.append(PartBlock(view[:room], overlap=part.overlap))
        part.overlap = None
        return part.blocks[-1]

    def _given_up(self) -> Part | None:
        return next(
            (part for part in self._parts if part.source is None and not part.complete and part.error is None), None
        )

    def _shareable(self, last: Part) -> bool:
        return last.end is not None and last.end - last.granted > 2 * self._tuning.part_bytes and last.error is None

    def _share(self) -> Part | None:
        """Cut the last part, which somebody is reading to the end of the file, so that there is one behind it."""
        last = self._parts[-1]
        if not self._shareable(last):
            return None
        self._cut(last, last.granted + self._part_bytes)
        return self._parts[-1]

    def _share_bytes(self, left: int) -> int:
        """How much of ``left`` bytes a connection takes at a time: whole blocks, and half of a fair share at most."""
        fair = self._whole_blocks(left // (2 * self._connections))
        # At least a block: towards the end of a file parts get smaller, so that all connections end together.
        return min(self._part_bytes, max(fair, self._tuning.block_bytes))

    def _whole_blocks(self, count: int) -> int:
        return count // self._tuning.block_bytes * self._tuning.block_bytes

    def _cut(self, part: Part, end: int) -> None:
        part.following = Part(end, part.end, end, granted=end)
        part.end = end
        self._parts.append(part.following)

    def _taken_back(self, part: Part) -> bool:
        """Undo the sharing when nothing came of it and whoever reads up to there can still go on.

        All the parts that nobody fetches go together: whoever waits before the first of them would wait for ever.
        """
        vain: list[Part] = []
        for later in reversed(self._parts):
            if later.source is not None or later.at != later.first:
                break
            vain.append(later)
        if part not in vain or len(vain) == len(self._parts):
            return False
        before = self._parts[-len(vain) - 1]
        if before.source is None or before.reach != vain[0].end:
            return False
        for _ in vain:
            self._parts.pop()
        before.end, before.following = vain[0].end, None
        return True

    def _relieved(self, part: Part) -> bool:
        """Whether the fetcher of ``part`` may leave at its end: its answer goes no further, or another has taken over.

        Until then the rest could still be its own: an origin may turn out not to do ranges.
        """
        if part.reach == part.end:
            return True
        following = part.following
        return following is None or following.proven or following.complete or following.error is not None

    def _give_back(self) -> None:
        if self._read is not None:
            self._buffers.give(self._read.view)
            self._read = None
            self.changed.notify_all()


@dataclass(slots=True, eq=False)
class PartBlock(Block):
    """A block of a part. ``overlap`` is what the response that fills it has before the part."""

    overlap: Overlap | None = None


@dataclass(slots=True, eq=False)
class Part:
    """The bytes of the file from ``first`` to ``end`` (None: to wherever it ends); ``at`` is the next to come.

    ``source`` names who fetches it, None when nobody does, and ``reach`` how far that answer goes, which may be beyond
    ``end`` once a part was cut off; ``proven`` says that the answer was checked, and ``overlap`` what it has before the
    part. ``granted`` is up to where blocks were lent.
    """

    first: int
    end: int | None
    at: int
    proven: bool = False
    overlap: Overlap | None = None
    source: object | None = None
    reach: int | None = None
    granted: int = 0
    tries: int = 0
    error: Exception | None = None
    following: Part | None = None
    blocks: deque[PartBlock] = field(default_factory=deque)

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self.at == self.end
