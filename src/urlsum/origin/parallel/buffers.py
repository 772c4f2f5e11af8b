"""Reused buffers, within a budget that all files of a process share."""

from __future__ import annotations

import threading

# What every file may have whatever others hold, so that none waits for another: one block that is hashed, one that
# fills, and one between them.
RESERVE_BLOCKS = 3
# A connection's share of the window. Seven blocks bridge some 10 ms of hashing, a slow write of a checkpoint, and the
# differences between connections. Where MD5 is slower than eight connections all of them are in use, 59 MB beside the
# 50 MB of a worker without them: together below 110 MB.
BLOCKS_PER_CONNECTION = 7


class Budget:
    """How many blocks may exist beside every file's reserve."""

    def __init__(self, blocks: int) -> None:
        self._left = blocks
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one block; False when there is none left."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def give(self, blocks: int) -> None:
        """Give ``blocks`` back."""
        with self._lock:
            self._left += blocks


class Buffers:
    """The blocks of one file. Not for several threads at once: the window's lock is around it."""

    def __init__(self, budget: Budget, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.most = BLOCKS_PER_CONNECTION
        self._budget = budget
        self._free: list[memoryview] = []
        self._made = 0
        self._closed = False

    def take(self, *, keep: int) -> memoryview | None:
        """A block, unless no more than ``keep`` would then be left to others; None when there is none."""
        spare = len(self._free) + max(0, RESERVE_BLOCKS - self._made)
        if spare <= keep and not (self._made < self.most and self._made >= RESERVE_BLOCKS and self._budget.take()):
            return None
        if spare > keep and self._free:
            return self._free.pop()
        self._made += 1
        return memoryview(bytearray(self.block_bytes))

    def give(self, view: memoryview) -> None:
        """Take back the block that ``view`` is the beginning of."""
        self._free.append(memoryview(view.obj))

    def close(self) -> None:
        """Give the budget back what was above the reserve; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self._budget.give(max(0, self._made - RESERVE_BLOCKS))
