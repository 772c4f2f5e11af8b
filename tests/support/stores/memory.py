"""In-memory fakes of the four ports that pass the ports' contract tests, for tests of the code above them."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import TYPE_CHECKING

from urlsum.errors import LeaseLost, QueueUnavailable, RecordChanged, TableUnavailable, TaskExists, TaskNotFound
from urlsum.queues import Delivery, Held, HeldTasks, Order, Waiting, decode, encode
from urlsum.tables import Overdue, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.mail import Letter
    from urlsum.task import Task


def secret() -> bytes:
    """A secret of a deployment that every process knows already."""
    return b"the secret of the tests"


class MemoryRecords:
    """``Records`` in a dictionary. Set ``down`` to make them unavailable."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.down = False
        self._lock = threading.Lock()

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        with self._open():
            return self.records.get(key)

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        with self._open():
            stored = self.records.get(key)
            if (stored and stored.version) != (over and over.version):
                raise RecordChanged(key)
            version = 1 if over is None else over.version + 1
            self.records[key] = Record(key=key, value=value, version=version, expires_at=int(expires_at))
            return self.records[key]

    def purge(self, now: float, limit: int) -> int:
        with self._open():
            expired = [key for key, record in self.records.items() if record.expires_at <= now][:limit]
            for key in expired:
                del self.records[key]
            return len(expired)

    def _open(self) -> threading.Lock:
        if self.down:
            raise TableUnavailable("the store is down")
        return self._lock


class MemoryTaskTable:
    """A ``TaskTable`` in a dictionary. Set ``down`` to make it unavailable, or ``read_only``."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.down = False
        self.read_only = False
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        with self._open(write=True):
            if task.id in self.tasks:
                raise TaskExists(task.id)
            self.tasks[task.id] = task

    def get(self, task_id: str, *, consistent: bool = True) -> Task:
        with self._open():
            try:
                return self.tasks[task_id]
            except KeyError:
                raise TaskNotFound(task_id) from None

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        with self._open(write=True):
            stored = self.tasks.get(over.id)
            if stored is None or (stored.fence, stored.status) != (over.fence, over.status):
                raise LeaseLost(over.id)
            if lease_before is not None and stored.lease_until >= lease_before:
                raise LeaseLost(over.id)
            self.tasks[over.id] = task

    def remove(self, task: Task) -> bool:
        with self._open(write=True):
            stored = self.tasks.get(task.id)
            if stored is None or (stored.fence, stored.status) != (task.fence, task.status):
                return False
            del self.tasks[task.id]
            return True

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        with self._open():
            waiting = (
                (task.due_at, task.id)
                for task in self.tasks.values()
                if task.due_at is not None and task.due_at <= before and continued in (None, task.continued)
            )
            return [task_id for _, task_id in heapq.nsmallest(limit, waiting)]

    def overdue(self, before: float, limit: int) -> list[Overdue]:
        with self._open():
            found = [
                Overdue(task.id, task.due_at, task.lease_until, task.continued)
                for task in self.tasks.values()
                if task.due_at is not None and task.due_at <= before
            ]
            return sorted(found, key=lambda task: (task.due_at, task.id))[:limit]

    def unfinished(self, limit: int) -> int:
        with self._open():
            return min(limit, sum(task.due_at is not None for task in self.tasks.values()))

    def purge(self, now: float, limit: int) -> int:
        with self._open(write=True):
            expired = [task.id for task in self.tasks.values() if task.expires_at <= now][:limit]
            for task_id in expired:
                del self.tasks[task_id]
            return len(expired)

    def _open(self, *, write: bool = False) -> threading.Lock:
        if self.down or (self.read_only and write):
            raise TableUnavailable("the table does not answer")
        return self._lock


class MemoryQueue:
    """A ``TaskQueue`` that keeps messages until they are deleted; ``sent`` records ids and delays.

    ``continued`` has the ids that were sent as continuations.
    """

    reads_table = False

    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []
        self.continued: list[str] = []
        self.down = False
        self._messages: deque[Delivery] = deque()
        self._in_flight: dict[str, Delivery] = {}
        self._count = 0

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        self._check()
        self._count += 1
        self.continued += [task_id] * continued
        self.sent.append((task_id, delay))
        body = encode(task_id, continued=continued)
        message = Delivery(f"message-{self._count}", f"receipt-{self._count}", body, continued)
        self._messages.append(message)

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        self._check()
        wanted = [message for message in self._messages if not message.continued or order is not Order.FIRST_ONLY]
        deliveries = sorted(wanted, key=lambda message: message.continued != (order is Order.CONTINUED))[:limit]
        for delivery in deliveries:
            self._messages.remove(delivery)
        self._in_flight |= {delivery.receipt: delivery for delivery in deliveries}
        return deliveries

    def count_waiting(self, patience: float) -> Waiting:
        self._check()
        continued = sum(message.continued for message in self._messages)
        return Waiting(first=len(self._messages) - continued, continued=continued)

    def delete(self, delivery: Delivery) -> None:
        self._check()
        self._in_flight.pop(delivery.receipt, None)

    def check_send(self) -> None:
        self._check()

    def held(self) -> Held:
        self._check()
        return HeldTasks(frozenset(decode(message.body) for message in [*self._messages, *self._in_flight.values()]))

    @property
    def in_flight(self) -> int:
        """The number of deliveries that are received and not deleted."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """The number of messages that are not received yet."""
        return len(self._messages)

    def forget(self) -> None:
        """Lose every message, as a Redis that is restarted empty does."""
        self._messages.clear()
        self._in_flight.clear()

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

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        if self.refuse_with is not None:
            raise self.refuse_with
        self.letters.append(letter)
