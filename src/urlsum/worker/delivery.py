"""One delivery of one message: a slice of hashing, then the mail, then the next message if there is more to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from urlsum.errors import LeaseHeld, LeaseLost, NotDue, NothingToDo, TaskNotFound
from urlsum.task import Mail
from urlsum.worker.notify import send_result_email
from urlsum.worker.slice import SliceDeps, run_slice

if TYPE_CHECKING:
    from urlsum.mail import Mailer
    from urlsum.queues import TaskQueue
    from urlsum.task import Task

log = logging.getLogger(__name__)


class HandlerDeps(SliceDeps, Protocol):
    """What a delivery needs of ``urlsum.wiring.Services``."""

    @property
    def queue(self) -> TaskQueue:
        """Where the next message goes."""
        ...

    @property
    def mailer(self) -> Mailer:
        """What sends the result."""
        ...


def handle(task_id: str, deps: HandlerDeps, *, deadline: float) -> Task | None:
    """Do what the task needs now; return it as it was last written, None when there was nothing to do.

    A message that meets another holder of the lease is done with: the holder sends the next one, and if it dies the
    sweeper does. Kept, it would come again for as long as a long task runs, and end as a dead letter.

    Raises TableUnavailable, QueueUnavailable: the message must come again.
    """
    try:
        task = run_slice(task_id, deps, deadline=deadline)
        if task.complete and task.mail is Mail.PENDING:
            public_url = deps.settings.public_url
            task = send_result_email(task, table=deps.table, mailer=deps.mailer, public_url=public_url, now=deps.clock)
    except NotDue as early:
        # Queues cannot delay a message for as long as an origin may ask to be left alone.
        deps.queue.send(task_id, delay=max(0.0, early.due_at - deps.clock()))
        return None
    except (NothingToDo, TaskNotFound, LeaseHeld, LeaseLost) as nothing:
        log.info("task %s: %s", task_id, type(nothing).__name__)
        return None
    if task.due_at is not None:
        deps.queue.send(task.id, delay=max(0.0, task.due_at - deps.clock()))
    return task


class Context(Protocol):
    """The part of the Lambda context that is used here; the self-hosted processes bring their own."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is ended from outside."""
        ...
