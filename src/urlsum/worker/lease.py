"""The lease of a task: claimed by a conditional write, and extended before it lapses.

Only its holder may write: each claim raises the fence, and every write is conditional on it (``urlsum.tables``). A
checkpoint renews the lease as well; what stands here is for the time between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import NotDue

if TYPE_CHECKING:
    from urlsum.tables import TaskStore
    from urlsum.task import Task


def claim(task_id: str, table: TaskStore, *, now: float, lease_seconds: float, first_only: bool = False) -> Task:
    """Take the lease of the task for ``lease_seconds`` from ``now`` (seconds since the epoch).

    Two workers may read the same lapsed lease; the condition of the write lets one of them through. Raises LeaseHeld,
    NotDue or NothingToDo if there is nothing to claim, LeaseLost if another worker was faster, TaskNotFound,
    TableUnavailable. A second message that came among those of first slices brings its task no turn before others: with
    ``first_only`` a continuation is not due here, only among the continuations.
    """
    before = table.get(task_id)
    task = before.claimed(now, lease_seconds)
    if first_only and before.continued:
        raise NotDue(now, continued=True)
    table.save(task, over=before, lease_before=now)
    return task


def extend(task: Task, table: TaskStore, *, now: float, lease_seconds: float) -> Task:
    """The task with a lease of at least ``lease_seconds`` from ``now`` on. Raises LeaseLost, TableUnavailable."""
    if task.lease_until >= now + lease_seconds:
        return task
    held = task.renewed(now, lease_seconds=lease_seconds)
    table.save(held, over=task)
    return held
