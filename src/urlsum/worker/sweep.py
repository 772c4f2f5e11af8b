"""Periodic maintenance: requeue stranded tasks, fail exhausted ones, purge expired ones.

A task is stranded when its worker died, or when its message was lost or dead-lettered. It then stands in the sparse
index of due tasks with a time in the past, as does a finished task that still owes an email. A sweep reads that index,
the longest waiting first, and never the whole table.

Each change is one conditional write, on the fence and on a lapsed lease, before the message is sent. Concurrent sweeps
and workers therefore have the effect of one.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import LeaseLost, TaskNotFound
from urlsum.worker import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.queues import TaskQueue
    from urlsum.settings import Settings
    from urlsum.tables import TaskTable
    from urlsum.task import Task

log = logging.getLogger(__name__)

# Tasks examined, and expired tasks deleted, in one run. Each costs two requests to the table and one to the queue, on
# AWS about 30 ms in all: a full run takes half a minute. The next run takes the rest.
LIMIT = 1000


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
) -> Swept:
    """Sweep once, until ``stop`` returns True or ``limit`` tasks were examined.

    Raises TableUnavailable or QueueUnavailable; all writes up to then are valid, and the next run takes the rest.
    """
    resent = failed = 0
    # Overdue by a whole lease: a message needs time to reach a worker, and a worker that is late with its checkpoint
    # keeps the fence until another one claims the task.
    overdue = now - settings.lease_seconds
    for task_id in table.due(overdue, limit):
        if stop():
            break
        with suppress(TaskNotFound, LeaseLost):  # deleted, or claimed by a worker: not stranded
            before = table.get(task_id)
            if not _stranded(before, overdue):
                continue
            after = _rescued(before, now, settings)
            ended = after.complete and not before.complete
            if queue.reads_table and not ended:
                continue
            table.save(after, over=before, lease_before=now)
            if ended:
                failed += 1
                log.error("task %s: given up: %s", after.id, after.error)
            if after.due_at is not None:
                queue.send(after.id)
                resent += 1
                log.warning("task %s: stranded; sent again", after.id)
    swept = Swept(resent, failed, table.purge(now, limit))
    if swept != Swept():
        log.info("%d sent again, %d given up, %d deleted", swept.resent, swept.failed, swept.purged)
    return swept


def _stranded(task: Task, overdue: float) -> bool:
    # The index may lag behind the table.
    return task.due_at is not None and task.due_at <= overdue and task.lease_until <= overdue


def _rescued(task: Task, now: float, settings: Settings) -> Task:
    if not task.complete:
        spent = retry.spent(task, attempts=task.attempts, max_attempts=settings.max_attempts)
        if spent is not None:
            return task.given_up(spent, now)
    return task.resent(now, wait=_next_look(task, now, settings.lease_seconds))


def _next_look(task: Task, now: float, least: float) -> float:
    """Seconds until the next sweep may requeue the task: as long again as it has waited.

    Its message may be waiting in a long queue, and each requeue adds another. With the doubling, a queue that is a day
    behind holds about ten messages for a task, not a thousand.
    """
    return max(least, now - max(task.updated_at, task.lease_until, task.not_before))
