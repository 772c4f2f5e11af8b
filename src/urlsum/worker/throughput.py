"""How fast a slice reads its file: a mean that forgets."""

from __future__ import annotations

import math

# The reported rate forgets within about this time: long enough to be steady, short enough to be current. As long as it
# was not measured for so long, it forgets within the time that it was: a file's first second, when the connections are
# still being tried, must not tint the whole first minute.
MEMORY_SECONDS = 30.0
# What a file that was cut off within a moment brought in that moment says nothing of the line: the first bytes were
# waiting in a buffer, and would promise the end in a second. Half of the time to a slice's first checkpoint, which is
# to have one.
LEAST_SECONDS = 0.5


class Rate:
    """Bytes per second from the opening of the file on, measured anew at every checkpoint.

    ``now`` is a monotonic clock in seconds, ``count`` the bytes hashed up to it.
    """

    def __init__(self, now: float, count: int) -> None:
        self._at = now
        self._count = count
        self._measured = 0.0  # seconds
        self._rate: float | None = None

    def measure(self, now: float, count: int) -> float | None:
        """The rate up to ``now``; None as long as too little time has passed to tell."""
        elapsed, read = now - self._at, count - self._count
        # The clock of a worker that is being stopped stands at infinity.
        if not LEAST_SECONDS <= elapsed < math.inf:
            return self._rate
        self._at, self._count = now, count
        if self._rate is None:
            self._rate = read / elapsed
        else:
            keep = math.exp(-elapsed / min(self._measured, MEMORY_SECONDS))
            self._rate = keep * self._rate + (1 - keep) * read / elapsed
        self._measured += elapsed
        return self._rate
