"""The emails of tasks that RQ's workers have finished: sent by the server, so that a mail server takes no worker.

A worker leaves the id of such a task in Redis (``RedisQueue.send_email``). The row in the table is the truth: what
Redis loses, the sweep sends to a worker, which leaves it here again.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from urlsum.errors import Conflict, NotDue, TableUnavailable, TaskNotFound, Unavailable
from urlsum.worker.emails import EmailThreads
from urlsum.worker.lease import claim

if TYPE_CHECKING:
    from urlsum.queues.redis import RedisQueue
    from urlsum.task import Task
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.rq_emails")

# Emails sent at the same time: some dozens a second on a prompt mail server, and for a silent one a single connection
# besides the one that waits.
THREADS = 2
# The interval of looks into Redis: one small request, and a person expects an email within seconds.
LOOK_SECONDS = 1.0
# When an email is taken again whose task could not be claimed, because the table does not answer.
AGAIN_SECONDS = 5.0
# The longest wait at a stop for an email that is being sent; else its lease lapses and it is sent again.
STOP_SECONDS = 1.5


class RqEmails:
    """A thread that takes finished tasks, and the threads that send their emails."""

    def __init__(
        self, services: Services, queue: RedisQueue, *, threads: int = THREADS, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._services = services
        self._queue = queue
        self._look_seconds = look_seconds
        self._emails = EmailThreads(services, self._send_again, threads=threads)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emails", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Begin no further email."""
        self._stopping.set()

    def stop(self) -> None:
        """Return when the emails under way are sent, or after STOP_SECONDS."""
        self.ask_to_stop()
        self._emails.wait(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._next():
                    continue
            except Unavailable as unavailable:
                if not unavailable.reported:
                    log.warning("emails wait: %s", unavailable)
            except Exception:
                log.exception("cannot take the next email")
            self._stopping.wait(self._look_seconds)

    def _next(self) -> bool:
        """Take one email; False if none is due, or no thread is free."""
        if not self._emails.reserve():
            return False
        task: Task | None = None
        try:
            with self._services.outages.queue.read:
                task_id = self._queue.take_email()
            if task_id is None:
                return False
            task = self._claimed(task_id)
        finally:
            if task is None:
                self._emails.release()
        if task is not None:
            self._emails.send(task)
        return True

    def _claimed(self, task_id: str) -> Task | None:
        services, now = self._services, self._services.clock()
        try:
            if not services.table.get(task_id).complete:
                services.queue.send(task_id)
                return None
            return claim(task_id, services.table, now=now, lease_seconds=services.settings.lease_seconds)
        except NotDue as early:
            self._leave(task_id, early.due_at - now)
        except TableUnavailable:
            self._leave(task_id, AGAIN_SECONDS)
            raise
        except (Conflict, TaskNotFound) as nothing:
            log.info("task %s: %s", task_id, type(nothing).__name__)
        return None

    def _send_again(self, task: Task, delay: float) -> None:
        self._leave(task.id, delay)

    def _leave(self, task_id: str, delay: float) -> None:
        with self._services.outages.queue.write:
            self._queue.send_email(task_id, delay=delay)
