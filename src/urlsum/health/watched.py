"""The ports with an eye on their outages: every call to a store is recorded in its ``urlsum.outage.Outage``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.queues import Order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from urlsum.health.meeting import Attendance
    from urlsum.outage import Outage
    from urlsum.queues import Delivery, Held, TaskQueue, Waiting
    from urlsum.tables import Overdue, Record, Records, TaskTable
    from urlsum.task import Task


class WatchedTable:
    """A ``TaskTable`` whose calls are recorded in ``outage``."""

    def __init__(self, table: TaskTable, outage: Outage) -> None:
        self._table = table
        self._outage = outage

    def get(self, task_id: str, *, consistent: bool = True) -> Task:
        """See the port, like all methods."""
        with self._outage.read:
            return self._table.get(task_id, consistent=consistent)

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over`` by ``task``."""
        with self._outage.write:
            self._table.save(task, over=over, lease_before=lease_before)

    def add(self, task: Task) -> None:
        """Insert a new task."""
        with self._outage.write:
            self._table.add(task)

    def remove(self, task: Task) -> bool:
        """Delete ``task``."""
        with self._outage.write:
            return self._table.remove(task)

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        """Ids of tasks that are due."""
        with self._outage.read:
            return self._table.due(before, limit, continued=continued)

    def overdue(self, before: float, limit: int) -> Iterator[Overdue]:
        """Tasks that are overdue."""
        with self._outage.read:
            yield from self._table.overdue(before, limit)

    def unfinished(self, limit: int) -> int:
        """The number of tasks that need work."""
        with self._outage.read:
            return self._table.unfinished(limit)

    def purge(self, now: float, limit: int) -> int:
        """Delete expired tasks."""
        with self._outage.write:
            return self._table.purge(now, limit)


class WatchedRecords:
    """``Records`` whose calls are recorded in ``outage``: that of the table, whose store has them too."""

    def __init__(self, records: Records, outage: Outage) -> None:
        self._records = records
        self._outage = outage

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        """See the port, like all methods."""
        with self._outage.read:
            return self._records.read(key, consistent=consistent)

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        """Replace ``over`` by ``value``."""
        with self._outage.write:
            return self._records.write(key, value, over=over, expires_at=expires_at, durable=durable)

    def purge(self, now: float, limit: int) -> int:
        """Delete expired records."""
        with self._outage.write:
            return self._records.purge(now, limit)


class WatchedQueue:
    """A ``TaskQueue`` whose calls are recorded in ``outage``."""

    def __init__(self, queue: TaskQueue, outage: Outage) -> None:
        self.inner = queue
        self._outage = outage

    @property
    def reads_table(self) -> bool:
        """See the port, like all methods."""
        return self.inner.reads_table

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        """Ask for a worker."""
        with self._outage.write:
            self.inner.send(task_id, delay=delay, continued=continued)

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries."""
        with self._outage.read:
            return self.inner.receive(limit, wait=wait, order=order)

    def count_waiting(self, patience: float) -> Waiting:
        """The tasks that wait."""
        with self._outage.read:
            return self.inner.count_waiting(patience)

    def held(self) -> Held:
        """The messages in the queue."""
        with self._outage.read:
            return self.inner.held()

    def delete(self, delivery: Delivery) -> None:
        """Acknowledge the delivery."""
        with self._outage.write:
            self.inner.delete(delivery)

    def check_send(self) -> None:
        """Raise QueueUnavailable unless the queue takes messages."""
        with self._outage.write:
            self.inner.check_send()


class WatchedAttendance:
    """An ``Attendance`` whose calls are recorded in ``outage``: that of the queue."""

    def __init__(self, attendance: Attendance, outage: Outage) -> None:
        self._attendance = attendance
        self._outage = outage

    def announce(self, deployment: str) -> None:
        """See the port, like all methods."""
        with self._outage.write:
            self._attendance.announce(deployment)

    def announced(self) -> dict[str, float]:
        """The deployments that send to this queue."""
        with self._outage.read:
            return self._attendance.announced()

    def unattended(self) -> float:
        """The seconds that the first message has waited without a worker."""
        with self._outage.read:
            return self._attendance.unattended()

    def evicts(self) -> str | None:
        """The policy by which messages are deleted."""
        with self._outage.read:
            return self._attendance.evicts()
