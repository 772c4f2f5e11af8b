"""Throughput of a slice: a moving average of bytes per second."""

from __future__ import annotations

import math

# Time constant of the average, in seconds: long enough to be steady, short enough to be current. Until so much time was
# measured, the time constant is the measured time: a file's first second, when the number of connections is still being
# tried, must not weigh on the whole first minute.
MEMORY_SECONDS = 30.0
# A connection cut within the first half second yields no rate: its bytes came from a socket buffer, not from the
# network. Half of the time to a slice's first checkpoint, which must have a rate.
LEAST_SECONDS = 0.5


class Rate:
    """Bytes per second since the file was opened, updated at every checkpoint.

    ``now`` is a monotonic clock in seconds, ``count`` the bytes hashed up to it.
    """

    def __init__(self, now: float, count: int) -> None:
        self._at = self._began_at = now
        self._count = self._began_count = count
        self._measured = 0.0  # seconds
        self._rate: float | None = None

    def measure(self, now: float, count: int) -> float | None:
        """The rate up to ``now``; None until LEAST_SECONDS have passed."""
        elapsed, read = now - self._at, count - self._count
        if elapsed < LEAST_SECONDS:
            return self._rate
        self._at, self._count = now, count
        if self._rate is None:
            self._rate = read / elapsed
        else:
            keep = math.exp(-elapsed / min(self._measured, MEMORY_SECONDS))
            self._rate = keep * self._rate + (1 - keep) * read / elapsed
        self._measured += elapsed
        return self._rate

    def mean(self, now: float, count: int, *, at_least: float) -> float | None:
        """Bytes per second since the file was opened; None until ``at_least`` seconds have passed."""
        elapsed = now - self._began_at
        return None if elapsed < at_least else (count - self._began_count) / elapsed
