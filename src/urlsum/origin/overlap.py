"""Whether another thread should receive while this one hashes: not on a single CPU that has no time to spare."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from urlsum.origin.ramp import IDLE_SHARE, MEASURE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


def cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Overlap:
    """Watches the one thread that receives and hashes in turns; for each file its own.

    ``busy`` is the CPU time of the calling thread, and both clocks are in seconds.
    """

    def __init__(
        self,
        available: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.thread_time,
    ) -> None:
        self._single = available == 1
        self._clock = clock
        self._busy = busy
        self._at, self._busy_at = clock(), busy()

    def pays(self) -> bool:
        """Whether to begin with a second thread now.

        Threads that share one CPU cost some 5 % for handing over, and each byte leaves the cache between them. That is
        paid back when the line is waited for, by the measure that decides about connections, too.
        """
        if not self._single:
            return True
        now = self._clock()
        elapsed = now - self._at
        if elapsed < MEASURE_SECONDS:
            return False
        busy = self._busy()
        idle = 1 - (busy - self._busy_at) / elapsed
        self._at, self._busy_at = now, busy
        return idle >= IDLE_SHARE
