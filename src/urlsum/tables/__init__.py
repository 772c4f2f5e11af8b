"""The port to the task table; each adapter beside it serves one technology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from urlsum.task import Task


class TaskStore(Protocol):
    """The part of a table that hashing needs: read a task, and write it unless another writer was faster.

    Every method raises TableUnavailable if the store does not respond; the outcome of a write is then unknown.
    """

    def get(self, task_id: str) -> Task:
        """The task as last written (a strongly consistent read). Raises TaskNotFound."""
        ...

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over``, a task read or written before, by ``task``, in one conditional write.

        The condition: the stored fence and status are those of ``over`` and, if ``lease_before`` is set, the stored
        lease ended before that time (epoch seconds); a claim sets it. Raises LeaseLost otherwise. The write keeps
        attributes that this version does not know, so that a newer version can write to the same table.
        """
        ...


class TaskTable(TaskStore, Protocol):
    """Keeps the tasks of a service, and refuses stale writes."""

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists when the id is taken."""
        ...

    def remove(self, task: Task) -> None:
        """Delete ``task`` if the stored fence and status are still its own; else do nothing."""
        ...

    def due(self, before: float, limit: int) -> list[str]:
        """Ids of at most ``limit`` tasks whose ``due_at`` is not after ``before``, the longest waiting first.

        A sparse index serves this read; it may lag behind the writes by a moment.
        """
        ...

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` tasks whose ``expires_at`` is past; return their number.

        Does nothing and returns 0 if the store expires items by itself (DynamoDB TTL).
        """
        ...
