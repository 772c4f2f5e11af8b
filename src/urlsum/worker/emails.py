"""Emails apart from hashing: in a few threads of their own, so that a silent mail server takes no worker's turn."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

from urlsum.errors import Conflict, Unavailable
from urlsum.limits.recipients import LimitedMailer
from urlsum.mail.suppression import SuppressingMailer
from urlsum.worker.notify import MailDeps, send_result_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Mailer
    from urlsum.queues import TaskQueue
    from urlsum.task import Task

log = logging.getLogger(__name__)

# A worker waits so long for a thread, while every email that is being sent began less than a second ago: then the mail
# system is prompt, and a thread is free in a moment. Behind a silent one no worker waits.
THREAD_SECONDS = 0.5
PROMPT_SECONDS = 1.0
# The wait of an email that finds every thread busy: a slow mail server has a thread free by then, and a silent one
# opens the breaker within half a minute. Later a tenth of the time that the email has waited already.
BUSY_SECONDS = 5.0
BUSY_SHARE = 0.1
LONGEST_BUSY_SECONDS = 300.0


class EmailDeps(MailDeps, Protocol):
    """What emails need of ``urlsum.wiring.Services``."""

    @property
    def mailer(self) -> Mailer:
        """What sends the result."""
        ...

    @property
    def queue(self) -> TaskQueue:
        """Where the next message of an email that was put off goes."""
        ...


def result_mailer(task: Task, deps: EmailDeps) -> Mailer:
    """The mailer for the email of ``task``: not to suppressed mailboxes, and not too many to one."""
    mailer = SuppressingMailer(deps.mailer, deps.records, clock=deps.clock)
    if task.client is None:  # without limits: the operator's own
        return mailer
    # What is suppressed is counted, too: else strangers would see who unsubscribed by who never meets the limit.
    return LimitedMailer(mailer, deps.records, most=deps.settings.recipient_emails_per_day, clock=deps.clock)


class EmailThreads:
    """Sends the emails of finished tasks in at most ``threads`` threads. Safe for threads.

    ``again`` gets a task whose email was put off, and the delay in seconds: it asks for the next try.
    """

    def __init__(self, deps: EmailDeps, again: Callable[[Task, float], None], *, threads: int) -> None:
        self._deps = deps
        self._again = again
        self._free = threading.Semaphore(threads)
        # The threads, and when each began (monotonic).
        self._sending: dict[threading.Thread, float] = {}
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether an email is being sent."""
        return bool(self._sending)

    def reserve(self, *, wait: float = 0.0) -> bool:
        """Reserve a thread for the next ``send``; False if every thread is busy for ``wait`` seconds."""
        return self._free.acquire(timeout=wait)

    def release(self) -> None:
        """Give back a reserved thread that is not needed."""
        self._free.release()

    def post(self, task: Task) -> None:
        """Send the email of ``task``, whose lease this process holds, or put it off if every thread is busy.

        Raises LeaseLost, Unavailable.
        """
        if self.reserve(wait=THREAD_SECONDS if self._prompt() else 0.0):
            self.send(task)
            return
        deps, now = self._deps, self._deps.clock()
        waited = now - (now if task.finished_at is None else task.finished_at)
        longest = min(max(BUSY_SECONDS, waited * BUSY_SHARE), LONGEST_BUSY_SECONDS)
        # Spread, so that those that wait do not all come at once.
        waiting = task.waiting(now, delay=longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        deps.table.save(waiting, over=task)
        self._send_again(waiting)

    def send(self, task: Task) -> None:
        """Send the email of ``task`` in a thread that was reserved."""
        thread = threading.Thread(target=self._send, args=(task,), name=f"email {task.id}", daemon=True)
        with self._lock:
            self._sending[thread] = time.monotonic()
            thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the emails that are being sent, for at most ``seconds``."""
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._sending)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _prompt(self) -> bool:
        with self._lock:
            return all(time.monotonic() - began < PROMPT_SECONDS for began in self._sending.values())

    def _send(self, task: Task) -> None:
        try:
            after = send_result_email(task, self._deps, mailer=result_mailer(task, self._deps), patient=True)
            self._send_again(after)
        except Conflict as lost:
            log.info("task %s: %s", task.id, type(lost).__name__)
        except Unavailable as unavailable:
            # The lease lapses, and then a sweep or the table queue finds the email still owed.
            if not unavailable.reported:
                log.warning("task %s: its email waits: %s", task.id, unavailable)
        except Exception:
            log.exception("task %s: its email", task.id)
        finally:
            with self._lock:
                self._sending.pop(threading.current_thread(), None)
            self.release()

    def _send_again(self, task: Task) -> None:
        if task.due_at is not None:
            self._again(task, max(0.0, task.due_at - self._deps.clock()))
