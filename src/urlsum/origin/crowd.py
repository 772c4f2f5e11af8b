"""How many connections one process reads from each origin with, whatever number of files it reads there."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.origin.guard.url import Target


class Crowd:
    """At most ``most`` to each scheme, host and port, except that every file may have one. Safe for many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._inside: Counter[tuple[str, str, int]] = Counter()

    def enter(self, target: Target, *, first: bool) -> bool:
        """Count one more, unless there are enough; the ``first`` of a file is always let in."""
        key = target.scheme, target.host, target.port
        with self._lock:
            if not first and self._inside[key] >= self._most:
                return False
            self._inside[key] += 1
            return True

    def leave(self, target: Target) -> None:
        """Count one less."""
        key = target.scheme, target.host, target.port
        with self._lock:
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key]

    def too_many(self, target: Target) -> bool:
        """Whether further files have come since there was room: a helper should leave."""
        with self._lock:
            return self._inside[target.scheme, target.host, target.port] > self._most
