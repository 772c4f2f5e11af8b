"""Allocates and reuses blocks of memory, within a budget that all files of a process share."""

from __future__ import annotations

import threading

# Blocks that every file may have, whatever others hold, so that no file waits for another: one is hashed, one fills,
# and one lies between them.
RESERVE_BLOCKS = 3
# A connection's share of the reassembly buffer. Seven blocks bridge some 10 ms of hashing, a slow write of a
# checkpoint, and the differences between connections. Where MD5 is slower than eight connections, all blocks are in
# use: 59 MB beside the 50 MB of a worker without them, together below 110 MB.
BLOCKS_PER_CONNECTION = 7


class Budget:
    """Limits the blocks that exist besides every file's reserve. Thread-safe."""

    def __init__(self, blocks: int) -> None:
        self._available = blocks
        self._lock = threading.Lock()

    def try_acquire(self) -> bool:
        """Take one block from the budget; False if none is available."""
        with self._lock:
            if self._available <= 0:
                return False
            self._available -= 1
            return True

    def release(self, blocks: int) -> None:
        """Return ``blocks`` to the budget."""
        with self._lock:
            self._available += blocks


class Buffers:
    """The blocks of one file. Not thread-safe: the lock of the reassembly buffer protects them."""

    def __init__(self, budget: Budget, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.max_blocks = BLOCKS_PER_CONNECTION
        self._budget = budget
        self._free: list[memoryview] = []
        self._allocated = 0
        self._closed = False

    def acquire(self, *, reserved: int) -> memoryview | None:
        """A block, leaving ``reserved`` to the other parts; None if none is available."""
        spare = len(self._free) + max(0, RESERVE_BLOCKS - self._allocated)
        if spare <= reserved and not (
            self._allocated < self.max_blocks and self._allocated >= RESERVE_BLOCKS and self._budget.try_acquire()
        ):
            return None
        if spare > reserved and self._free:
            return self._free.pop()
        self._allocated += 1
        return memoryview(bytearray(self.block_bytes))

    def release(self, view: memoryview) -> None:
        """Reuse the block that ``view`` is the beginning of."""
        self._free.append(memoryview(view.obj))

    def close(self) -> None:
        """Return the blocks above the reserve to the budget. Idempotent."""
        if not self._closed:
            self._closed = True
            self._budget.release(max(0, self._allocated - RESERVE_BLOCKS))
