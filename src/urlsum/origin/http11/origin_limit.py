"""The limit of connections per origin, over all files of a process."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.origin.guard.url import Target


class OriginLimit:
    """At most ``limit`` connections per scheme, host and port, but one for every file. Safe for many threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: Counter[tuple[str, str, int]] = Counter()

    def try_acquire(self, target: Target, *, first: bool) -> bool:
        """Count one more connection, False at the limit; the ``first`` of a file is always allowed."""
        with self._lock:
            if not first and self._open[target.origin] >= self._limit:
                return False
            self._open[target.origin] += 1
            return True

    def release(self, target: Target) -> None:
        """Count one connection less."""
        with self._lock:
            self._open[target.origin] -= 1
            if not self._open[target.origin]:
                del self._open[target.origin]

    def exceeded(self, target: Target) -> bool:
        """Whether other files have raised the count above the limit: a further connection of a file should close."""
        with self._lock:
            return self._open[target.origin] > self._limit
