"""Periodic maintenance: requeue stranded tasks, fail exhausted ones, purge expired ones.

A task is stranded when its worker died, or when its message was lost or dead-lettered. It then stands in the sparse
index of due tasks with a time in the past, as does a finished task that still owes an email. So does every task that
waits in a long queue, and those must be left alone. A lease that lapsed shows a dead worker. Of tasks without a lease,
the queue says which have no message, or at least how many.

A sweep reads that index, the longest waiting first, and never the whole table. Each change is one conditional write, on
the fence and on a lapsed lease, before the message is sent. Concurrent sweeps and workers therefore have the effect of
one.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from urlsum.errors import LeaseLost, QueueUnavailable, TaskNotFound
from urlsum.worker import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.limits.limiter import Limiter
    from urlsum.queues import TaskQueue
    from urlsum.settings import Settings
    from urlsum.tables import Overdue, Records, TaskTable
    from urlsum.task import Task

log = logging.getLogger(__name__)

# Stranded tasks examined, and expired tasks deleted, in one run. Each costs two requests to the table and one to the
# queue, on AWS about 30 ms in all: a full run takes three minutes. The next run takes the rest: a hundred thousand
# tasks, should all workers die or a queue be purged, take 17 runs, an hour and a half.
LIMIT = 6000
# Overdue tasks that are looked at in one run: ten times the default of MAX_UNFINISHED, and half of the time of a run on
# AWS. Of a longer queue a count of messages says too little: the rest's are among them.
LOOK_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Swept:
    """How many tasks were requeued, failed because their attempts were spent, and deleted because they expired."""

    resent: int = 0
    failed: int = 0
    purged: int = 0


def sweep(
    table: TaskTable,
    queue: TaskQueue,
    *,
    now: float,
    settings: Settings,
    limit: int = LIMIT,
    stop: Callable[[], bool] = lambda: False,
    limiter: Limiter | None = None,
) -> Swept:
    """Sweep once, until ``stop`` returns True or ``limit`` stranded tasks were examined.

    With a ``limiter``, tasks that are given up no longer count as unfinished ones of their clients.
    Raises TableUnavailable or QueueUnavailable; all writes up to then are valid, and the next run takes the rest.
    """
    run = _Run(table, queue, now, settings, limiter)
    for task_id in islice(run.stranded(stop), limit):
        if stop():
            break
        with suppress(TaskNotFound, LeaseLost):  # deleted, or claimed by a worker: not stranded
            run.rescue(task_id)
    swept = Swept(run.resent, run.failed, purge(table, now, limit=limit, stop=stop))
    if swept != Swept():
        log.info("%d sent again, %d given up, %d deleted", swept.resent, swept.failed, swept.purged)
    return swept


def purge(
    store: TaskTable | Records, now: float, *, limit: int = LIMIT, stop: Callable[[], bool] = lambda: False
) -> int:
    """Delete what has expired, ``limit`` rows at a time, until ``stop`` returns True or nothing is left.

    With one batch in a sweep, a store whose rows expire faster would grow for ever. Returns the number of rows.
    """
    purged = 0
    while not stop():
        deleted = store.purge(now, limit)
        purged += deleted
        if deleted < limit:
            break
    return purged


class _Run:
    """One run of the sweep, and what it has done."""

    def __init__(
        self, table: TaskTable, queue: TaskQueue, now: float, settings: Settings, limiter: Limiter | None
    ) -> None:
        self._table = table
        self._queue = queue
        self._now = now
        self._settings = settings
        self._limiter = limiter
        # Overdue by a whole lease: a message needs time to reach a worker, and a worker that is late with its
        # checkpoint keeps the fence until another one claims the task.
        self._overdue = now - settings.lease_seconds
        self.resent = self.failed = 0

    def stranded(self, stop: Callable[[], bool]) -> Iterator[str]:
        """Ids of the tasks whose workers died, then of those whose messages are lost; the longest waiting first."""
        if not self._table.due(self._overdue, 1):
            return
        # Before the look at the table: a task that a worker takes in between must not seem to have no message.
        held = self._queue.held()
        waiting: list[Overdue] = []
        for task in self._table.overdue(self._overdue, LOOK_LIMIT):
            if stop():
                return
            if task.lease_until > self._overdue:
                continue
            if task.lease_until or self._too_old(task):
                yield task.id
            else:
                waiting.append(task)
        yield from held.missing(waiting)

    def _too_old(self, task: Overdue) -> bool:
        hours = self._settings.max_task_hours
        return hours > 0 and task.due_at <= self._now - hours * retry.HOUR_SECONDS

    def rescue(self, task_id: str) -> None:
        """Send the task again, or end it. Raises TaskNotFound or LeaseLost if it was not stranded after all."""
        before = self._table.get(task_id)
        if not _stranded(before, self._overdue):
            return
        after = _rescued(before, self._now, self._settings)
        ended = after.complete and not before.complete
        if self._queue.reads_table and not ended:
            return
        self._table.save(after, over=before, lease_before=self._now)
        if ended:
            self.failed += 1
            if self._limiter is not None:
                self._limiter.settle(after, self._now)
            log.error("task %s: given up: %s", after.id, after.error)
        if after.due_at is not None:
            self._send(after, before)
            self.resent += 1
            log.warning("task %s: stranded; sent again", after.id)

    def _send(self, task: Task, before: Task) -> None:
        try:
            self._queue.send(task.id, continued=task.continued)
        except QueueUnavailable:
            # The next sweep must find it at once, not after another lease.
            with suppress(LeaseLost):
                self._table.save(replace(task, due_at=before.due_at), over=task)
            raise


def _stranded(task: Task, overdue: float) -> bool:
    # The index may lag behind the table.
    return task.due_at is not None and task.due_at <= overdue and task.lease_until <= overdue


def _rescued(task: Task, now: float, settings: Settings) -> Task:
    if not task.complete:
        spent = retry.spent(
            task,
            attempts=task.attempts,
            max_attempts=settings.max_attempts,
            now=now,
            max_task_hours=settings.max_task_hours,
        )
        if spent is not None:
            return task.given_up(spent, now)
    return task.resent(now)
