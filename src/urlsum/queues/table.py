"""The task queue that needs only the task table: the embedded default.

The row is the message, and its ``due_at`` is the delivery time. So nothing can be lost between the table and the queue,
and a task that a crash stranded comes due by itself when its lease lapses. The price is a poll of the table's sparse
index. Differences from other queues:

- ``send`` stores nothing: the sender has already written ``due_at``, delay included. It only wakes the receivers of
  this process; those of other processes find the row at their next poll.
- ``receive`` delivers every task that is due to each process that polls. The first claim moves ``due_at``, and the
  others meet LeaseHeld: delivery is at-least-once, the work is done once.
- ``delete`` removes nothing, because the claim or the finish has moved or cleared ``due_at``.

A row stays due from its delivery until its claim, and for good if the claim fails. A process therefore does not
redeliver it within ``REDELIVERY_SECONDS``, the visibility timeout of this queue, unless it is deleted or sent before.
A task that always fails then costs one look every few seconds instead of a busy loop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from urlsum.errors import QueueUnavailable, TableUnavailable
from urlsum.queues import Delivery, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.tables import TaskTable

# The longest extra delay of a task that another process sent. An index look-up that finds nothing takes well under 1 ms
# on SQLite and MySQL, so even many workers with two polls a second are no load.
POLL_SECONDS = 0.5
# From delivery to claim takes milliseconds, or a few seconds on a store that hangs.
REDELIVERY_SECONDS = 5.0
# One look prefetches this many tasks, because hashing a small file takes no longer than the look. With more, processes
# that share a table would more often lose the race for a claim.
LOOK_AHEAD = 16


class TableQueue:
    """Delivers the tasks of ``table`` that are due by ``clock``, the wall clock of ``due_at``.

    Safe for many threads. ``monotonic`` measures the waits, so that a change of the wall clock cannot stretch them.
    """

    reads_table = True

    def __init__(
        self,
        table: TaskTable,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        poll_seconds: float = POLL_SECONDS,
        redelivery_seconds: float = REDELIVERY_SECONDS,
    ) -> None:
        self._table = table
        self._clock = clock
        self._monotonic = monotonic
        self._poll_seconds = poll_seconds
        self._redelivery_seconds = redelivery_seconds
        self._changed = threading.Condition()
        self._sends = 0
        # Delivered tasks, and the time (monotonic) before which they are not redelivered.
        self._handed: dict[str, float] = {}
        # Surplus tasks of the last look, and the time (monotonic) until which they count as fresh.
        self._ahead: deque[str] = deque()
        self._ahead_until = 0.0

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Wake the receivers of this process; the row's ``due_at`` already includes ``delay``."""
        with self._changed:
            self._handed.pop(task_id, None)
            if delay <= 0:
                self._sends += 1
                self._changed.notify_all()

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` tasks that are due, the longest waiting first; looks at least once, however short ``wait``.

        Surplus tasks of an earlier look come first, if that look is no older than a poll interval. The task's id
        serves as message id and receipt: it is unique within one batch.
        """
        deadline = self._monotonic() + wait
        while True:
            sends = self._sends
            if ids := self._take(limit):
                return [Delivery(message_id=i, receipt=i, body=encode(i)) for i in ids]
            left = deadline - self._monotonic()
            if left <= 0:
                return []
            with self._changed:
                # A send between the look and this line notified no waiter; the count reveals it.
                if sends == self._sends:
                    self._changed.wait(min(left, self._poll_seconds))

    def delete(self, delivery: Delivery) -> None:
        """Forget the delivery: the next time the task is due, it is delivered without delay."""
        with self._changed:
            self._handed.pop(delivery.receipt, None)

    def _take(self, limit: int) -> list[str]:
        with self._changed:
            now = self._monotonic()
            if now < self._ahead_until and (taken := self._hand_out(limit, now)):
                return taken
            self._handed = {task_id: until for task_id, until in self._handed.items() if until > now}
            # Delivered rows may still be the longest waiting: look beyond them.
            look = limit + len(self._handed) + LOOK_AHEAD
        # Not under the lock: a store that hangs must not block senders.
        try:
            due = self._table.due(self._clock(), look)
        except TableUnavailable as exc:
            raise QueueUnavailable(f"the table, which is the queue: {exc}") from exc
        with self._changed:
            now = self._monotonic()
            self._ahead = deque(task_id for task_id in due if task_id not in self._handed)
            self._ahead_until = now + self._poll_seconds
            return self._hand_out(limit, now)

    def _hand_out(self, limit: int, now: float) -> list[str]:
        taken = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        self._handed.update(dict.fromkeys(taken, now + self._redelivery_seconds))
        return taken
