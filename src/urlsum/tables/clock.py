"""The clock that all processes of a deployment go by: that of the database, where several machines may share one.

Leases and due times are compared with the clocks of other machines. A worker whose clock is behind finds a retry not
due that the queue has just delivered, and sends it again and again; one whose clock is ahead has leases that nobody
takes over for as long after its death.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from urlsum.errors import ClockSkewed

if TYPE_CHECKING:
    from collections.abc import Callable

# Clocks that NTP keeps differ by milliseconds. Ten seconds are less than any lease, and more than a machine that has
# just started needs to correct; what is beyond is a fault that other programs, TLS and logs suffer from, too.
MOST_SECONDS = 10.0
# The first look opens a connection; the quickest counts.
LOOKS = 3
# A clock that loses a second a day, or is set while a process runs, is noticed within a minute.
REFRESH_SECONDS = 60.0


class DatabaseClock:
    """Seconds since the epoch by the database's clock: this machine's, corrected by the offset last measured.

    ``read`` gives the database's time, None where it has no clock of its own, as SQLite on this machine. A database
    that tells it in steps of ``resolution`` seconds gives the middle of the step; then only that part of an offset
    counts which no place within the step explains. Until the first ``synchronize`` the offset is 0.
    """

    def __init__(
        self,
        read: Callable[[], float | None],
        *,
        resolution: float = 0.0,
        local: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._resolution = resolution
        self._local = local
        self._monotonic = monotonic
        self._offset = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._local() + self._offset

    def synchronize(self) -> None:
        """Measure the offset, and correct by it from now on.

        Raises ClockSkewed if it is so large that the process must not start, TableUnavailable.
        """
        best = float("inf")
        for _ in range(1 if self._resolution else LOOKS):  # a quicker look would be no more exact than the step
            began, before = self._monotonic(), self._local()
            theirs = self._read()
            if theirs is None:
                return
            took = self._monotonic() - began
            if took < best:
                best, self._offset = took, self._proven(theirs - before - took / 2, took)
        if abs(self._offset) > MOST_SECONDS:
            raise ClockSkewed(self._offset)

    def _proven(self, measured: float, took: float) -> float:
        if not self._resolution:
            return measured
        return math.copysign(max(0.0, abs(measured) - (self._resolution + took) / 2), measured)
