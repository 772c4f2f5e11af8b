"""The task queue that needs nothing but the task table: the embedded default.

The row is the message, and its ``due_at`` says when it is to be delivered. So nothing can be lost between the table and
the queue, and a task that was stranded by a crash comes up again by itself when its lease lapses. The price is a poll
of the table's sparse index. Compared with a queue proper:

- ``send`` stores nothing; whoever sends has written ``due_at`` before, and a delay is already in it. It only wakes the
  receivers of this process; those of other processes find the row at their next poll.
- ``receive`` hands out every task that is due, to each process that asks. The first to claim it moves ``due_at``, and
  the others meet LeaseHeld: delivered twice is worked on once.
- ``delete`` removes nothing, because the claim or the finish has moved or cleared ``due_at``.

A row stays due from its delivery until it is claimed, and for good if the claim fails. Within a process it is therefore
not delivered again for ``REDELIVERY_SECONDS``, unless it is deleted or sent before: the visibility time-out of this
queue. A task that always fails then costs a look every few seconds instead of a busy loop.
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

# How much later than its time a task may start when another process sent it. An index look-up that finds nothing takes
# well under a millisecond on SQLite and MySQL, so even many workers at two polls a second are no load.
POLL_SECONDS = 0.5
# From delivery to claim takes milliseconds, or a few seconds on a store that hangs.
REDELIVERY_SECONDS = 5.0
# One look serves so many files: small ones take no longer than it does. More would mean that processes which share a
# table find more often that another was faster.
LOOK_AHEAD = 16


class TableQueue:
    """Delivers the tasks of ``table`` that are due by ``clock``, the wall clock that ``due_at`` is on.

    Safe for many threads. ``monotonic`` measures the waiting, so that a clock that is set does not stretch it.
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
        # The tasks that were handed out, and until when (monotonic) they are not to be handed out again.
        self._handed: dict[str, float] = {}
        # What the last look found beyond what was asked for, and until when (monotonic) that counts as fresh.
        self._ahead: deque[str] = deque()
        self._ahead_until = 0.0

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Wake the receivers of this process; the table says when the task is due, so ``delay`` is known already."""
        with self._changed:
            self._handed.pop(task_id, None)
            if delay <= 0:
                self._sends += 1
                self._changed.notify_all()

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` tasks that are due, the longest waiting first; looks at least once, however short ``wait``.

        What a look finds beyond ``limit`` is handed out first, as long as it is no older than a poll interval.
        The message id and the receipt are the task's id: unique among what is delivered together.
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
                # A send between the look and this line has notified nobody: the count tells.
                if sends == self._sends:
                    self._changed.wait(min(left, self._poll_seconds))

    def delete(self, delivery: Delivery) -> None:
        """Forget the delivery: when the task is due again, it is delivered without waiting."""
        with self._changed:
            self._handed.pop(delivery.receipt, None)

    def _take(self, limit: int) -> list[str]:
        with self._changed:
            now = self._monotonic()
            if now < self._ahead_until and (taken := self._hand_out(limit, now)):
                return taken
            self._handed = {task_id: until for task_id, until in self._handed.items() if until > now}
            # Rows that were handed out may still be the longest waiting: look behind them.
            look = limit + len(self._handed) + LOOK_AHEAD
        # Not under the lock: a store that hangs must not stop those who only want to send.
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
