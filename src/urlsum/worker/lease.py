"""The lease of a task: claimed by a conditional write, and extended before it lapses.

Only its holder may write: each claim raises the fence, and every write is conditional on it (``urlsum.tables``). A
checkpoint renews the lease as well; what stands here is for the time between them.

A claim may be late: then the slice's first write is the claim, too. Of two workers that read the same file meanwhile,
one writes. The row of a new task does not change before its first claim, so an eventually consistent read finds it as
it is, or as it was before that claim, which the condition of the write tells.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from urlsum.errors import LeaseLost, NotDue, TableUnavailable, TaskNotFound
from urlsum.task import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.tables import TaskStore
    from urlsum.task import Task

# A claim is at most so late: the time of a slice's first checkpoint. Most files have ended by then.
LATE_SECONDS = 1.0
# A late claim is for tasks that have been due for less than this share of LEASE_SECONDS. A sweep takes a task that has
# been due for the whole of it for one without a message, so the claim must be written by then.
LATE_SHARE = 0.5


def claim(task_id: str, table: TaskStore, *, now: float, lease_seconds: float, first_only: bool = False) -> Task:
    """Take the lease of the task for ``lease_seconds`` from ``now`` (seconds since the epoch).

    Two workers may read the same lapsed lease; the condition of the write lets one of them through. Raises LeaseHeld,
    NotDue or NothingToDo if there is nothing to claim, LeaseLost if another worker was faster, TaskNotFound,
    TableUnavailable. A second message that came among those of first slices brings its task no turn before others: with
    ``first_only`` a continuation is not due here, only among the continuations.
    """
    before = table.get(task_id)
    task = _claimed(before, now=now, lease_seconds=lease_seconds, first_only=first_only)
    table.save(task, over=before, lease_before=now)
    return task


def _claimed(before: Task, *, now: float, lease_seconds: float, first_only: bool) -> Task:
    task = before.claimed(now, lease_seconds)
    if first_only and before.continued:
        raise NotDue(now, continued=True)
    return task


class Lease:
    """The lease of one slice, through which it writes. Safe for threads.

    ``before`` is the task as it was read, as long as the claim is not written.
    """

    def __init__(self, task: Task, table: TaskStore, clock: Callable[[], float], *, before: Task | None = None) -> None:
        self.task = task
        self._table = table
        self._clock = clock
        self._before = before
        self._lock = threading.Lock()

    @property
    def is_claimed(self) -> bool:
        """Whether the claim is written."""
        return self._before is None

    def take(self) -> None:
        """Write the claim, unless it is written. Raises LeaseLost, TableUnavailable."""
        with self._lock:
            if self._before is not None:
                self._claim(self.task, self._before)

    def save(self, task: Task, *, over: Task) -> None:
        """Replace ``over``, which this slice holds, by ``task``. Raises LeaseLost, TableUnavailable."""
        with self._lock:
            if self._before is not None:
                self._claim(task, self._before)
            else:
                self._table.save(task, over=over)

    def end(self) -> None:
        """Let no other thread write the claim from now on."""
        with self._lock:
            self._before = None

    def _claim(self, task: Task, before: Task) -> None:
        # If it is refused, every later write must be, too: another worker's claim has the same fence.
        self._table.save(task, over=before, lease_before=self._clock())
        self._before = None


class LateClaims:
    """The claims of this process that are not written yet. Safe for threads; one of them calls ``write``."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._lock = threading.Lock()

    def lease(
        self,
        task_id: str,
        table: TaskStore,
        *,
        clock: Callable[[], float],
        lease_seconds: float,
        first_only: bool = False,
    ) -> Lease:
        """The lease of the task, claimed with its first write if it is a new one, else now; raises as ``claim``.

        If the first write of a new task is refused, a consistent read must tell why before its message is dropped.
        """
        now = clock()
        before = _new(task_id, table, now=now, lease_seconds=lease_seconds) or table.get(task_id)
        task = _claimed(before, now=now, lease_seconds=lease_seconds, first_only=first_only)
        lease = Lease(task, table, clock, before=before)
        if _is_new(before, now, lease_seconds):
            with self._lock:
                self._leases.add(lease)
        else:
            lease.take()
        return lease

    def end(self, lease: Lease) -> None:
        """Forget a lease whose slice has ended."""
        with self._lock:
            self._leases.discard(lease)
        lease.end()

    def write(self) -> None:
        """Write every claim that is outstanding: the slice lasts for ``LATE_SECONDS``, and others shall see it."""
        with self._lock:
            leases = list(self._leases)
        for lease in leases:
            # A slice that has lost its lease, or cannot write, meets that at its own next write.
            with suppress(LeaseLost, TableUnavailable):
                lease.take()


def _new(task_id: str, table: TaskStore, *, now: float, lease_seconds: float) -> Task | None:
    """The task if an eventually consistent read finds it, and it is new."""
    with suppress(TaskNotFound):
        task = table.get(task_id, consistent=False)
        return task if _is_new(task, now, lease_seconds) else None
    return None


def _is_new(task: Task, now: float, lease_seconds: float) -> bool:
    """Whether no worker and no sweep has had the task, and no sweep will soon."""
    waited = now - (task.created_at if task.due_at is None else task.due_at)
    return task.status is Status.QUEUED and task.fence == 0 and waited < LATE_SHARE * lease_seconds


def extend(task: Task, table: TaskStore, *, now: float, lease_seconds: float) -> Task:
    """The task with a lease of at least ``lease_seconds`` from ``now`` on. Raises LeaseLost, TableUnavailable."""
    if task.lease_until >= now + lease_seconds:
        return task
    held = task.renewed(now, lease_seconds=lease_seconds)
    table.save(held, over=task)
    return held
