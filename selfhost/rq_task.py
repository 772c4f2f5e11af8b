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
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rq import Retry, Worker, get_current_job

from urlsum import queues, settings, wiring
from urlsum.deadline import Deadline
from urlsum.queues.redis import RedisQueue, client_like
from urlsum.worker.delivery import handle_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rq.job import Job

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


class ShutdownWatch:
    """Watches for a shutdown of this job's worker."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requested = threading.Event()
        self._over = threading.Event()

    def requested(self) -> bool:
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

    def _watch(self) -> None:
        key = f"{Worker.redis_worker_namespace_prefix}{self._job.worker_name}"
        while not self._over.wait(LOOK_SECONDS):
            with suppress(RedisError):  # no answer is no request
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
    shutdown = ShutdownWatch(job)
    config = settings.load()
    # The next message goes to the queue that this one came from, even if REDIS_URL of this worker differs.
    queue = RedisQueue(
        client_like(job.connection),
        job.origin,
        slice_seconds=config.slice_seconds,
        lease_seconds=config.lease_seconds,
    )
    services = replace(wiring.wire(config), queue=queue)
    with shutdown.watched():
        # The job's own time-out is longer, see urlsum.queues.redis.
        deadline = Deadline.after(config.slice_seconds, is_cancelled=shutdown.requested)
        handled = handle_message(queues.encode(task_id), services, deadline=deadline)
    return None if handled else Retry(max=AGAIN_TIMES, interval=AGAIN_SECONDS)


def _log_to_stdout() -> None:
    ours = logging.getLogger("urlsum")
    if not ours.handlers:  # RQ gives its own loggers handlers, and the others none
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
