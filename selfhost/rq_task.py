"""The job that an RQ worker runs for each message.

Any ``rq worker`` can run it; it needs the settings of the server in its environment, and nothing else. On shutdown of a
worker, RQ lets the job finish and records the request in Redis. The job polls that record, writes its checkpoint,
releases the lease and sends the next message, so that another worker resumes from the offset.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rq import Retry, Worker, get_current_job
from rq.command import send_shutdown_command

from urlsum import outage, queues, settings, wiring
from urlsum.deadline import Deadline
from urlsum.errors import ClockSkewed, QueueUnavailable, TableUnavailable
from urlsum.health.watched import WatchedQueue
from urlsum.queues.redis import RedisQueue, client_like, is_continuation
from urlsum.worker.delivery import handle_message
from urlsum.worker.turns import LOOK_SECONDS as TURN_LOOK_SECONDS
from urlsum.worker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rq.job import Job

    from urlsum.task import Task
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.worker")

# How often a job looks for a shutdown of its worker: one small request to Redis.
LOOK_SECONDS = 0.5
# From the request to the end of the job: it has checkpointed long before, or its origin or a store is silent, and it is
# abandoned to its lease. `docker stop` kills after 10 s.
GRACE_SECONDS = 6.0
# Retries of a message that must come again, because the table or Redis does not answer: together ten minutes, for a
# database to restart. After that the sweeper finds the task in the table.
AGAIN_SECONDS = 10
AGAIN_TIMES = 60
AGAIN = Retry(max=AGAIN_TIMES, interval=AGAIN_SECONDS)
# The pause of a worker after such a message, as of an embedded worker (selfhost.worker).
PAUSE_SECONDS = 2.0

# RQ forks a process for each job from one that has imported this module (selfhost.rq_config).
OUTAGES = outage.shared()


class JobWatch:
    """Watches for a shutdown of this job's worker, and calls ``look`` every second."""

    def __init__(self, job: Job, look: Callable[[], None]) -> None:
        self._job = job
        self._look = look
        self._requested = threading.Event()
        self._over = threading.Event()

    def shutdown_requested(self) -> bool:
        """Whether the worker is to stop: the cancellation of a ``Deadline``."""
        return self._requested.is_set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while the block runs; end this process if the block does not end within GRACE_SECONDS."""
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond a shutdown."""
        self._requested.wait(seconds)

    def _watch(self) -> None:
        key = f"{Worker.redis_worker_namespace_prefix}{self._job.worker_name}"
        looked_at = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            with suppress(RedisError, QueueUnavailable):  # no answer is no request
                if time.monotonic() - looked_at >= TURN_LOOK_SECONDS:
                    looked_at = time.monotonic()
                    self._look()
                if self._job.connection.hexists(key, "shutdown_requested_date"):
                    self._requested.set()
                    break
        if self._requested.is_set() and not self._over.wait(GRACE_SECONDS):
            log.warning(
                "job %s did not stop within %g s; its task resumes when its lease expires", self._job.id, GRACE_SECONDS
            )
            # RQ sees a job that was killed, and requeues it.
            os._exit(1)


def run(task_id: str) -> Retry | None:
    """Work on the task for one slice; the result tells RQ whether the message must come again."""
    _log_to_stdout()
    job = get_current_job()
    if job is None:
        raise RuntimeError("selfhost.rq_task.run is called by RQ's workers only")
    config = settings.load()
    services = wiring.wire(config, outages=OUTAGES)
    try:
        services.synchronize()
    except ClockSkewed as exc:
        log.error("%s; this worker stops", exc)  # noqa: TRY400 - one line
        send_shutdown_command(job.connection, str(job.worker_name))
        return AGAIN
    except TableUnavailable as exc:
        if not exc.reported:
            log.warning("task %s: %s", task_id, exc)
        time.sleep(PAUSE_SECONDS)
        return AGAIN
    # The next message goes to the queue that this one came from, even if REDIS_URL of this worker differs.
    queue = RedisQueue(
        client_like(job.connection),
        job.origin,
        slice_seconds=config.slice_seconds,
        lease_seconds=config.lease_seconds,
        clock=services.clock,
    )
    services = replace(services, queue=WatchedQueue(queue, OUTAGES.queue))
    turns = Turns(config.hand_over_seconds, services.monotonic)
    with suppress(QueueUnavailable):
        turns.look(queue, always=True)  # for short turns, which the looks of the watch would stretch
    turn = turns.begin(continued=is_continuation(job.id))
    watch = JobWatch(job, lambda: turns.look(queue))
    with watch.watched():
        # The job's own time-out is longer, see urlsum.queues.redis.
        deadline = Deadline.after(config.slice_seconds, is_cancelled=watch.shutdown_requested)
        handled = handle_message(
            queues.encode(task_id),
            services,
            deadline=deadline,
            turn=turn,
            post=partial(_leave_to_server, services, queue),
        )
        if not handled:
            # Else a queue of messages for a store that is down would run through this worker, and through the log.
            watch.pause(PAUSE_SECONDS)
        # This process ends with its job.
        services.rest()
    with suppress(QueueUnavailable):  # the server admits the next one
        queue.admit()  # this job's worker is free in a moment
    return None if handled else AGAIN


def _leave_to_server(services: Services, queue: RedisQueue, task: Task) -> None:
    """Return the lease of a finished task, and ask the server to send its email (``selfhost.rq_emails``)."""
    released = task.waiting(services.clock(), delay=0.0)
    services.table.save(released, over=task)
    with services.outages.queue.write:
        queue.send_email(released.id)


def _log_to_stdout() -> None:
    ours = logging.getLogger("urlsum")
    if not ours.handlers:  # RQ gives its own loggers handlers, and the others none
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
