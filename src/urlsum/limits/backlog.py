"""The limit of unfinished tasks, over all clients: a bound, which no submission has to count exactly."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from urlsum.errors import Overloaded

if TYPE_CHECKING:
    from urlsum.tables import TaskTable

# A process counts this often, and adds its own submissions in between; those of other processes it sees at its next
# count. Ten seconds of submissions are few against the limit. A count of 20,000 tasks takes 1 ms on SQLite and 12 ms on
# MariaDB.
COUNT_SECONDS = 10.0
# Above this share of the limit, the others' submissions matter sooner, and the end of a full table too.
NEAR = 0.8
NEAR_SECONDS = 1.0
# When a client should try again: a full table empties within minutes, not within seconds.
RETRY_SECONDS = 60


class Backlog:
    """The number of unfinished tasks as this process knows it. Safe for many threads; 0 as ``most`` means no limit."""

    def __init__(self, table: TaskTable, most: int) -> None:
        self._table = table
        self._most = most
        self._lock = threading.Lock()
        self._count = 0
        self._added = 0  # by this process, since the last count
        self._counted_at: float | None = None

    def check(self, now: float) -> None:
        """Raises Overloaded if no more tasks may be accepted at ``now``, TableUnavailable."""
        if not self._most:
            return
        if self._is_due(now):
            self._recount()
        with self._lock:
            full = self._count + self._added >= self._most
        if full:
            raise Overloaded(f"{self._most} tasks are unfinished (MAX_UNFINISHED)")

    def add(self) -> None:
        """Count a task that this process accepted."""
        with self._lock:
            self._added += 1

    def _is_due(self, now: float) -> bool:
        """Whether this thread has to count; meanwhile the others use the last count."""
        with self._lock:
            near = self._count + self._added >= NEAR * self._most
            if self._counted_at is not None and abs(now - self._counted_at) < (NEAR_SECONDS if near else COUNT_SECONDS):
                return False
            self._counted_at = now
            return True

    def _recount(self) -> None:
        with self._lock:
            before = self._added
        try:
            count = self._table.unfinished(self._most)
        except BaseException:
            with self._lock:
                self._counted_at = None
            raise
        with self._lock:
            self._count = count
            self._added -= before
