"""One delivery of one message: a slice of hashing, then the email, then the next message if there is more to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from urlsum import queues
from urlsum.errors import LeaseHeld, LeaseLost, NotDue, NothingToDo, TaskNotFound, Unavailable, UrlsumError
from urlsum.limits import accounts
from urlsum.task import Mail
from urlsum.worker.emails import EmailDeps, result_mailer
from urlsum.worker.notify import send_result_email
from urlsum.worker.slice import SliceDeps, run_slice

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.tables import Records
    from urlsum.task import Task
    from urlsum.worker.lease import LateClaims
    from urlsum.worker.turns import Turn

log = logging.getLogger(__name__)

# How much of a message is logged. urlsum's own messages have 46 characters; a foreign one must not fill the log.
MESSAGE_CHARACTERS = 100
# What is logged of each slice.
ENDED = "task %s: %s at %d bytes"


class HandlerDeps(SliceDeps, EmailDeps, Protocol):
    """What a delivery needs of ``urlsum.wiring.Services``."""

    @property
    def records(self) -> Records:
        """Where the accounts of clients and recipients are, and which mailboxes are suppressed."""
        ...


def handle_message(  # noqa: PLR0913 - what a caller may add to a delivery, all by name
    body: str,
    deps: HandlerDeps,
    *,
    deadline: Deadline,
    turn: Turn | None = None,
    after_slice: Callable[[Task], None] | None = None,
    post: Callable[[Task], None] | None = None,
    settle: Callable[[Task], None] | None = None,
    late: LateClaims | None = None,
) -> bool:
    """Handle the message ``body`` and log how that ended; return False if the message must come again.

    ``deadline`` is when the slice must end; when its ``turn`` is over, it hands over at the next checkpoint.
    ``after_slice`` gets the task as it was last written, unless there was nothing to do for it. ``post``, ``settle``,
    ``late`` as in ``handle``. At-least-once: only a message for which this returns True may be deleted from its queue.
    """
    try:
        task = handle(queues.decode(body), deps, deadline=deadline, turn=turn, post=post, settle=settle, late=late)
    except Unavailable as exc:
        if not exc.reported:
            log.warning("%s: %s: %s", body[:MESSAGE_CHARACTERS], type(exc).__name__, exc)
        return False
    except Exception as exc:
        expected = isinstance(exc, UrlsumError)
        message = body[:MESSAGE_CHARACTERS]
        log.warning("%s: %s: %s", message, type(exc).__name__, exc, exc_info=None if expected else exc)
        return False
    if task is not None:
        log.info(ENDED, task.id, task.status, task.offset)
        if after_slice is not None:
            after_slice(task)
    return True


def handle(
    task_id: str,
    deps: HandlerDeps,
    *,
    deadline: Deadline,
    turn: Turn | None = None,
    post: Callable[[Task], None] | None = None,
    settle: Callable[[Task], None] | None = None,
    late: LateClaims | None = None,
) -> Task | None:
    """Do what the task needs now; return it as it was last written, None when there was nothing to do.

    ``post`` takes over a finished task that owes an email, together with its lease; without one the email is sent here.
    ``settle`` gets a task that ended; without one its client's account is settled here. With ``late``, a new task is
    claimed by its first write: for a message that comes again by itself if this process dies.

    A message for a task under another worker's lease is complete: the holder sends the next one, and if it dies the
    sweeper does. A message that was kept would come again for as long as a long task runs, and end as a dead letter.

    Raises TableUnavailable, QueueUnavailable: the message must come again.
    """
    try:
        task = run_slice(task_id, deps, deadline=deadline, turn=turn, late=late)
        if _ended(task) and settle is not None:
            settle(task)
        elif _ended(task):
            accounts.settle(task, deps.records, now=deps.clock(), ttl_days=deps.settings.task_ttl_days)
        if task.complete and task.mail is Mail.PENDING:
            if post is not None:
                post(task)
                return task
            task = send_result_email(task, deps, mailer=result_mailer(task, deps))
    except NotDue as early:
        # Queues cannot delay a message for as long as an origin may ask to wait.
        deps.queue.send(task_id, delay=max(0.0, early.due_at - deps.clock()), continued=early.continued)
        return None
    except TaskNotFound:
        log.warning("task %s: not in this worker's table: deleted, or the sender has another DATABASE_URI", task_id)
        return None
    except (NothingToDo, LeaseHeld, LeaseLost) as nothing:
        log.info("task %s: %s", task_id, type(nothing).__name__)
        return None
    if task.due_at is not None:
        deps.queue.send(task.id, delay=max(0.0, task.due_at - deps.clock()), continued=task.continued)
    return task


def _ended(task: Task) -> bool:
    """Whether the slice that just ran ended ``task``, and not one before it.

    A task ends with 0 attempts, and each claim of a task that has ended, for its email, counts one.
    """
    return task.complete and not task.attempts
