"""What an RQ worker runs for each message: the very code that Lambda runs.

``rq worker`` of any kind can do it; it needs the settings of the server in its environment, and nothing else. When the
worker is told to stop, RQ lets the job go on to its end and notes the wish in Redis. The job looks there, writes its
checkpoint, gives the lease back and sends the next message, so that another worker goes on from the offset.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rq import Retry, Worker, get_current_job

from urlsum import queues, settings, wiring
from urlsum.queues.redis import RedisQueue, client_like
from urlsum.worker.delivery import handle_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rq.job import Job

log = logging.getLogger("urlsum.worker")

# How often a job looks whether its worker is to stop: one small request to Redis.
LOOK_SECONDS = 0.5
# From the wish to stop to the end of the job: what runs has checkpointed long before, or its origin or a store is
# silent, and it is abandoned to its lease. `docker stop` kills after 10 s.
GRACE_SECONDS = 6.0
# When a message must come again: the table or Redis does not answer. Together ten minutes, for a database to restart;
# after that the sweeper finds the task in the table.
AGAIN_SECONDS = 10
AGAIN_TIMES = 60


class ShutdownWatch:
    """The wish that this job's worker end, and the clock that hears of it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._wished = threading.Event()
        self._over = threading.Event()

    def monotonic(self) -> float:
        """The clock of all deadlines; once the worker is stopping, every deadline has passed."""
        return math.inf if self._wished.is_set() else time.monotonic()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look for the wish while the block runs; end this process if the block does not end soon after it."""
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def _watch(self) -> None:
        key = f"{Worker.redis_worker_namespace_prefix}{self._job.worker_name}"
        while not self._over.wait(LOOK_SECONDS):
            with suppress(RedisError):  # no answer is no wish
                if self._job.connection.hexists(key, "shutdown_requested_date"):
                    self._wished.set()
                    break
        if self._wished.is_set() and not self._over.wait(GRACE_SECONDS):
            log.warning("job %s did not stop within %g s and is abandoned to its lease", self._job.id, GRACE_SECONDS)
            # RQ sees a job that was killed, and puts it into line again.
            os._exit(1)


def run(task_id: str) -> Retry | None:
    """Work on the task for one slice; what is returned tells RQ whether the message must come again."""
    _log_to_stdout()
    job = get_current_job()
    if job is None:
        raise RuntimeError("selfhost.rq_task.run is called by RQ's workers only")
    shutdown = ShutdownWatch(job)
    config = settings.load()
    # The next message goes where this one came from, whatever this worker's own REDIS_URL says.
    queue = RedisQueue(
        client_like(job.connection),
        job.origin,
        slice_seconds=config.slice_seconds,
        lease_seconds=config.lease_seconds,
    )
    services = replace(wiring.wire(config, monotonic=shutdown.monotonic), queue=queue)
    with shutdown.watched():
        # The job's own time-out is longer, see urlsum.queues.redis.
        deadline = services.monotonic() + config.slice_seconds
        handled = handle_message(queues.encode(task_id), services, deadline=deadline)
    return None if handled else Retry(max=AGAIN_TIMES, interval=AGAIN_SECONDS)


def _log_to_stdout() -> None:
    ours = logging.getLogger("urlsum")
    if not ours.handlers:  # RQ gives its own loggers handlers, and the others none
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
