"""The task queue that needs only the task table: the embedded default.

The row is the message, and its ``due_at`` is the delivery time. So nothing can be lost between the table and the queue,
and a task that a crash stranded comes due by itself when its lease lapses. The price is a poll of the table's sparse
index. Differences from other queues:

- ``send`` stores nothing: the sender has already written ``due_at``, delay included. It only wakes the receivers of
  this process; those of other processes find the row at their next poll.
- ``receive`` delivers every task that is due to each process that polls. The first claim moves ``due_at``, and the
  others meet LeaseHeld: delivery is at-least-once, the work is done once.
- ``delete`` removes nothing, because the claim or the finish has moved or cleared ``due_at``.

Processes of one machine divide the rows by their ids: each takes its own, and those of others only when it has none,
the youngest first. Otherwise they would all claim the same rows, and only one would get them.

A row stays due from its delivery until its claim, and for good if the claim fails. A process therefore does not
redeliver it within ``REDELIVERY_SECONDS``, the visibility timeout of this queue, unless it is deleted or sent before.
A task that always fails then costs one look every few seconds instead of a busy loop.
"""

from __future__ import annotations

import sys
import threading
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING

from urlsum.errors import QueueUnavailable, TableUnavailable
from urlsum.queues import Delivery, HeldCount, Order, Waiting, encode

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
# A first slice that is overdue by this waits for a slot: a worker with a free one finds it within a poll interval.
MOMENT_SECONDS = 2 * POLL_SECONDS
# Slots that hand over at one look are no more than a process has.
COUNTED = 16


class TableQueue:
    """Delivers the tasks of ``table`` that are due by ``clock``, the wall clock of ``due_at``.

    ``number`` is that of this process among the ``processes`` that divide the rows. Safe for many threads.
    ``monotonic`` measures the waits, so that a change of the wall clock cannot stretch them.
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
        processes: int = 1,
        number: int = 0,
    ) -> None:
        self._table = table
        self._clock = clock
        self._monotonic = monotonic
        self._poll_seconds = poll_seconds
        self._redelivery_seconds = redelivery_seconds
        self._processes = processes
        self._number = number
        self._changed = threading.Condition()
        self._sends = 0
        # Delivered tasks, and the time (monotonic) before which they are not redelivered.
        self._handed: dict[str, float] = {}
        # Surplus tasks of the last look for first slices and for continuations, and the time (monotonic) until which
        # they count as fresh.
        self._ahead: dict[bool, deque[str]] = {False: deque(), True: deque()}
        self._ahead_until = {False: 0.0, True: 0.0}

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:  # noqa: ARG002 - in the row
        """Wake the receivers of this process; the row's ``due_at`` already includes ``delay``."""
        with self._changed:
            self._handed.pop(task_id, None)
            if delay <= 0:
                self._sends += 1
                self._changed.notify_all()

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        """Up to ``limit`` tasks that are due, of each kind the longest waiting first; looks at least once.

        Surplus tasks of an earlier look come first, if that look is no older than a poll interval. The task's id
        serves as message id and receipt: it is unique within one batch.
        """
        deadline = self._monotonic() + wait
        while True:
            sends = self._sends
            if taken := self._take(limit, order):
                return taken
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

    def check_send(self) -> None:
        """Do nothing: a send stores nothing."""

    def count_waiting(self, patience: float) -> Waiting:
        """Count what is overdue in the index: two short look-ups, whatever the length of the queue."""
        now = self._clock()
        return Waiting(
            first=len(self._due(now - MOMENT_SECONDS, COUNTED, continued=False)),
            continued=len(self._due(now - patience, COUNTED, continued=True)),
        )

    def held(self) -> HeldCount:
        """No message can be missing."""
        return HeldCount(sys.maxsize)

    def _take(self, limit: int, order: Order) -> list[Delivery]:
        kinds = {Order.FIRST_ONLY: [False], Order.FIRST: [False, True], Order.CONTINUED: [True, False]}[order]
        taken: list[Delivery] = []
        for continued in kinds:
            if len(taken) < limit:
                ids = self._take_kind(limit - len(taken), continued=continued)
                taken += [Delivery(message_id=i, receipt=i, body=encode(i), continued=continued) for i in ids]
        return taken

    def _take_kind(self, limit: int, *, continued: bool) -> list[str]:
        with self._changed:
            now = self._monotonic()
            if now < self._ahead_until[continued] and (taken := self._hand_out(limit, now, continued=continued)):
                return taken
            self._handed = {task_id: until for task_id, until in self._handed.items() if until > now}
            # Delivered rows may still be the longest waiting: look beyond them.
            look = (limit + len(self._handed) + LOOK_AHEAD) * self._processes
        # Not under the lock: a store that hangs must not block senders.
        due = self._due(self._clock(), look, continued=continued)
        with self._changed:
            now = self._monotonic()
            fresh = [task_id for task_id in due if task_id not in self._handed]
            # Of the others' tasks only one batch: the next look sees what they have left then.
            own = [task_id for task_id in fresh if self._is_own(task_id)]
            self._ahead[continued] = deque(own or fresh[: -limit - 1 : -1])
            self._ahead_until[continued] = now + self._poll_seconds
            return self._hand_out(limit, now, continued=continued)

    def _due(self, before: float, limit: int, *, continued: bool) -> list[str]:
        try:
            return self._table.due(before, limit, continued=continued)
        except TableUnavailable as exc:
            raise QueueUnavailable(f"the table, which is the queue: {exc}") from exc

    def _is_own(self, task_id: str) -> bool:
        return zlib.crc32(task_id.encode()) % self._processes == self._number

    def _hand_out(self, limit: int, now: float, *, continued: bool) -> list[str]:
        ahead = self._ahead[continued]
        taken = [ahead.popleft() for _ in range(min(limit, len(ahead)))]
        self._handed.update(dict.fromkeys(taken, now + self._redelivery_seconds))
        return taken
