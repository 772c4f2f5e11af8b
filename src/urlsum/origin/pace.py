"""The minimum rate: what a time-out per read cannot see is an origin that sends one byte just before each."""

from __future__ import annotations

import math


class Pace:
    """Adds up what came and how long it was waited for, window by window.

    Only time spent waiting for the origin counts, so that a slow consumer is not held against it.
    ``min_rate`` is in bytes per second, 0 for no minimum; ``window`` in seconds.
    """

    def __init__(self, min_rate: int, window: float) -> None:
        self.min_rate = min_rate
        self._window = window
        self._seconds = 0.0
        self._count = 0

    def too_slow(self, count: int, seconds: float) -> bool:
        """Count in ``count`` bytes after ``seconds`` of waiting; whether a whole window was below the minimum."""
        if not math.isfinite(seconds):
            return False  # the clock of a worker that is being stopped stands at infinity
        self._seconds += seconds
        self._count += count
        if self._seconds < self._window:
            return False
        slow = self._count < self.min_rate * self._seconds
        self._seconds, self._count = 0.0, 0
        return slow
