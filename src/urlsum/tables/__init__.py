"""The port to the task table; adapters live beside it, one per technology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from urlsum.task import Task


class TaskStore(Protocol):
    """What hashing needs of a table: to read a task, and to write it unless somebody else was faster.

    Every method raises TableUnavailable when the store does not answer; then nothing is known to have changed.
    """

    def get(self, task_id: str) -> Task:
        """The task as last written (a strongly consistent read). Raises TaskNotFound."""
        ...

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over``, a task read or written before, by ``task``, in one conditional write.

        The write takes place only while the stored fence and status are those of ``over`` and, when
        ``lease_before`` is given, the stored lease ended before that time (epoch seconds): a claim passes it.
        Raises LeaseLost otherwise. Attributes that this version does not know are left as they are, so that
        a newer version may write beside it.
        """
        ...


class TaskTable(TaskStore, Protocol):
    """Keeps the tasks of a service, and refuses writes that come too late."""

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists when the id is taken."""
        ...

    def remove(self, task: Task) -> None:
        """Delete ``task`` if its stored fence and status still are those of ``task``; else do nothing."""
        ...

    def due(self, before: float, limit: int) -> list[str]:
        """Ids of at most ``limit`` tasks whose ``due_at`` is not after ``before``, the longest waiting first.

        Served by a sparse index; may lag behind the writes by a moment.
        """
        ...

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` tasks whose ``expires_at`` is past; return how many.

        Where the store expires items by itself (DynamoDB TTL) this does nothing and returns 0.
        """
        ...
