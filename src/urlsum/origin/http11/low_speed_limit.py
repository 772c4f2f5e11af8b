"""The limits of a body's speed: the minimum rate of an origin, and the CPU time that its bytes may cost.

A time-out per read misses an origin that sends one byte just before each; the minimum rate catches it. That in turn
misses an origin that sends quickly, but in chunks, records or segments of one byte: each costs as much as one of a
thousand bytes.
"""

from __future__ import annotations

MIB = 1_048_576
# CPU seconds of receiving and parsing per MiB. Measured: 0.001 with a length, 0.002 in chunks of 4 KiB, 0.08 in chunks
# of 64 bytes, a line of text each, 0.6 in chunks of 8 bytes, 4.7 in chunks of one. So lines pass on a machine that is
# ten times slower.
CPU_SECONDS_PER_MIB = 1.0
# Judged after so much CPU time: long beside the pauses of an interpreter, and little enough to lose.
CPU_WINDOW_SECONDS = 1.0
# Cheaper than this share of one core, pieces may be as small as they like: a slow origin of single bytes harms nobody.
CPU_SHARE = 0.05


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


class CpuLimit:
    """Adds up bytes, the CPU time of one thread that received and parsed them, and the time that it took, in seconds.

    This one rule holds for tiny chunks, TLS records and TCP segments, and for long chunk extensions around few bytes.
    """

    def __init__(self) -> None:
        self._count = 0
        self._cpu = 0.0
        self._seconds = 0.0

    def too_costly(self, count: int, cpu: float, seconds: float) -> bool:
        """Add ``count`` bytes; whether a whole window of CPU time brought too few."""
        self._count += count
        self._cpu += cpu
        self._seconds += seconds
        if self._cpu < CPU_WINDOW_SECONDS:
            return False
        costly = self._cpu > CPU_SECONDS_PER_MIB * self._count / MIB and self._cpu > CPU_SHARE * self._seconds
        self._count, self._cpu, self._seconds = 0, 0.0, 0.0
        return costly
