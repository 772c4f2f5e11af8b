"""One delivery of one message: a slice of hashing, then the email, then the next message if there is more to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from urlsum import queues
from urlsum.errors import LeaseHeld, LeaseLost, NotDue, NothingToDo, TaskNotFound, UrlsumError
from urlsum.task import Mail
from urlsum.worker.notify import send_result_email
from urlsum.worker.slice import SliceDeps, run_slice

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.mail import Mailer
    from urlsum.queues import TaskQueue
    from urlsum.task import Task

log = logging.getLogger(__name__)

# How much of a message is logged. urlsum's own messages have 46 characters; a foreign one must not fill the log.
MESSAGE_CHARACTERS = 100


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


def handle_message(
    body: str, deps: HandlerDeps, *, deadline: Deadline, after_slice: Callable[[Task], None] | None = None
) -> bool:
    """Handle the message ``body`` and log how that ended; return False if the message must come again.

    ``deadline`` is when the slice must end. ``after_slice`` gets the task as it was
    last written, unless there was nothing to do for it. At-least-once: only a message for which this returns True may
    be deleted from its queue.
    """
    try:
        task = handle(queues.decode(body), deps, deadline=deadline)
    except Exception as exc:
        expected = isinstance(exc, UrlsumError)
        message = body[:MESSAGE_CHARACTERS]
        log.warning("%s: %s: %s", message, type(exc).__name__, exc, exc_info=None if expected else exc)
        return False
    if task is not None:
        log.info("task %s: %s at %d bytes", task.id, task.status, task.offset)
        if after_slice is not None:
            after_slice(task)
    return True


def handle(task_id: str, deps: HandlerDeps, *, deadline: Deadline) -> Task | None:
    """Do what the task needs now; return it as it was last written, None when there was nothing to do.

    A message for a task under another worker's lease is complete: the holder sends the next one, and if it dies the
    sweeper does. A message that was kept would come again for as long as a long task runs, and end as a dead letter.

    Raises TableUnavailable, QueueUnavailable: the message must come again.
    """
    try:
        task = run_slice(task_id, deps, deadline=deadline)
        if task.complete and task.mail is Mail.PENDING:
            public_url = deps.settings.public_url
            task = send_result_email(task, table=deps.table, mailer=deps.mailer, public_url=public_url, now=deps.clock)
    except NotDue as early:
        # Queues cannot delay a message for as long as an origin may ask to wait.
        deps.queue.send(task_id, delay=max(0.0, early.due_at - deps.clock()))
        return None
    except (NothingToDo, TaskNotFound, LeaseHeld, LeaseLost) as nothing:
        log.info("task %s: %s", task_id, type(nothing).__name__)
        return None
    if task.due_at is not None:
        deps.queue.send(task.id, delay=max(0.0, task.due_at - deps.clock()))
    return task
