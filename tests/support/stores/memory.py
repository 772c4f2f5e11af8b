"""In-memory fakes of the three ports that pass the ports' contract tests, for tests of the code above them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from urlsum.errors import LeaseLost, QueueUnavailable, TableUnavailable, TaskExists, TaskNotFound
from urlsum.queues import Delivery, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.mail import Letter
    from urlsum.task import Task


class MemoryTaskTable:
    """A ``TaskTable`` in a dictionary. Set ``down`` to make it unavailable."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.down = False
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        with self._open():
            if task.id in self.tasks:
                raise TaskExists(task.id)
            self.tasks[task.id] = task

    def get(self, task_id: str) -> Task:
        with self._open():
            try:
                return self.tasks[task_id]
            except KeyError:
                raise TaskNotFound(task_id) from None

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        with self._open():
            stored = self.tasks.get(over.id)
            if stored is None or (stored.fence, stored.status) != (over.fence, over.status):
                raise LeaseLost(over.id)
            if lease_before is not None and stored.lease_until >= lease_before:
                raise LeaseLost(over.id)
            self.tasks[over.id] = task

    def remove(self, task: Task) -> None:
        with self._open():
            stored = self.tasks.get(task.id)
            if stored is not None and (stored.fence, stored.status) == (task.fence, task.status):
                del self.tasks[task.id]

    def due(self, before: float, limit: int) -> list[str]:
        with self._open():
            waiting = [(task.due_at, task.id) for task in self.tasks.values() if task.due_at is not None]
            return [task_id for due_at, task_id in sorted(waiting) if due_at <= before][:limit]

    def purge(self, now: float, limit: int) -> int:
        with self._open():
            expired = [task.id for task in self.tasks.values() if task.expires_at <= now][:limit]
            for task_id in expired:
                del self.tasks[task_id]
            return len(expired)

    def _open(self) -> threading.Lock:
        if self.down:
            raise TableUnavailable("the table does not answer")
        return self._lock


class MemoryQueue:
    """A ``TaskQueue`` that keeps messages until they are deleted; ``sent`` records ids and delays."""

    reads_table = False

    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []
        self.down = False
        self._messages: deque[Delivery] = deque()
        self._in_flight: dict[str, Delivery] = {}
        self._count = 0

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        self._check()
        self._count += 1
        self.sent.append((task_id, delay))
        self._messages.append(Delivery(f"message-{self._count}", f"receipt-{self._count}", encode(task_id)))

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        self._check()
        deliveries = [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]
        self._in_flight |= {delivery.receipt: delivery for delivery in deliveries}
        return deliveries

    def delete(self, delivery: Delivery) -> None:
        self._check()
        self._in_flight.pop(delivery.receipt, None)

    @property
    def in_flight(self) -> int:
        """The number of deliveries that are received and not deleted."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """The number of messages that are not received yet."""
        return len(self._messages)

    def redeliver(self) -> None:
        """Make received and undeleted messages available again, as after a visibility time-out."""
        for delivery in list(self._in_flight.values()):
            self._messages.append(delivery)
        self._in_flight.clear()

    def _check(self) -> None:
        if self.down:
            raise QueueUnavailable("the queue does not answer")


class MemoryMailer:
    """A ``Mailer`` that keeps every letter; if ``refuse_with`` is an error, it raises that instead."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.refuse_with: Exception | None = None

    def send(self, letter: Letter) -> None:
        if self.refuse_with is not None:
            raise self.refuse_with
        self.letters.append(letter)
