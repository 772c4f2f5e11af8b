"""The rate of a progress bar: what arrives now, without the slow start and without the noise of single reads."""

from __future__ import annotations

from collections import deque

# Longer hides that a network became slower; shorter lets the time that is left jump with each burst.
LONGEST_WINDOW_SECONDS = 15.0
# Earlier, the controller of the connections still adds some (urlsum.origin.parallel.concurrency): it needs about a
# second for all of them.
FIRST_SECONDS = 2.0
# Samples for each window: a bar is drawn ten times a second, but a rate needs no such resolution.
SAMPLE_SECONDS = 0.1


class Throughput:
    """Bytes per second over the latter half of the time so far, at most LONGEST_WINDOW_SECONDS.

    Connections are added in the first second. A mean from the beginning contains their slow start for minutes, and a
    moving average follows every step. The latter half leaves the start behind twice as fast as time passes.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._count = 0
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, now: float, count: int) -> None:
        """Count further ``count`` bytes."""
        self._count += count
        if now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self._count))
            window = min((now - self._began) / 2, LONGEST_WINDOW_SECONDS)
            while len(self._samples) > 2 and self._samples[1][0] <= now - window:  # noqa: PLR2004 - a rate needs two
                self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Bytes per second; None before FIRST_SECONDS."""
        if now - self._began < FIRST_SECONDS:
            return None
        start, before = self._samples[0]
        return (self._count - before) / (now - start) if now > start else None
