"""What the queue and the workers left lying: call again, give up, throw away.

A worker that dies leaves a task under a lease that lapses; a message that is lost or dead-lettered leaves one that is
due and that nobody takes. Both stand in the sparse index of what is due, with a time that is past. So does the mail
that a finished task still owes. A sweep reads that index, the longest waiting first, and never the whole table.

Whatever it writes is one conditional write on the fence and on a lease that has lapsed, before the message is sent. So
two sweeps at once, or a sweep and a worker, do together what one of them would have done alone.
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

# Tasks looked at, and expired tasks deleted, in one run. Each costs two requests to the table and one to the queue, on
# AWS about 30 ms in all: a full run takes half a minute. The next run goes on with what is left.
LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Swept:
    """How many tasks were sent again, failed because their attempts were spent, and deleted because they expired."""

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
    """Sweep once, until ``stop`` says so or ``limit`` tasks are looked at.

    Raises TableUnavailable or QueueUnavailable; what was written up to there is right, and the next run goes on.
    """
    resent = failed = 0
    # Overdue by a whole lease. A message needs some time to reach a worker, and a worker that is late with its
    # checkpoint still holds the fence as long as nobody else has taken it.
    overdue = now - settings.lease_seconds
    for task_id in table.due(overdue, limit):
        if stop():
            break
        with suppress(TaskNotFound, LeaseLost):  # gone, or taken by somebody: not stranded
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
                log.warning("task %s: nobody was at it; sent again", after.id)
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
    return task.resent(now, wait=_patience(task, now, settings.lease_seconds))


def _patience(task: Task, now: float, least: float) -> float:
    """Seconds until the next look: as long again as the task has waited.

    The message may only wait its turn in a long queue, and every look adds another one. So a queue that is a day behind
    holds about ten messages for a task, not a thousand.
    """
    return max(least, now - max(task.updated_at, task.lease_until, task.not_before))
