"""The low-speed limit: the minimum rate of an origin.

A time-out per read misses an origin that sends one byte just before each; the minimum rate catches it.
"""

from __future__ import annotations


class LowSpeedLimit:
    """Adds up bytes and the seconds of waiting for them, window by window.

    Only time spent waiting for the origin counts, so that a slow consumer does not count against it.
    ``min_rate`` is in bytes per second, 0 for no minimum; ``window`` in seconds.
    """

    def __init__(self, min_rate: int, window: float) -> None:
        self.min_rate = min_rate
        self._window = window
        self._seconds = 0.0
        self._count = 0

    def too_slow(self, count: int, seconds: float) -> bool:
        """Add ``count`` bytes after ``seconds`` of waiting; whether a whole window was below the minimum."""
        self._seconds += seconds
        self._count += count
        if self._seconds < self._window:
            return False
        slow = self._count < self.min_rate * self._seconds
        self._seconds, self._count = 0.0, 0
        return slow
