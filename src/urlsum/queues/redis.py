"""The task queue in Redis, kept by RQ: one job is one message, and any RQ worker can do the work.

https://python-rq.org/docs/ describes the keys in Redis. A job calls ``selfhost.rq_task.run`` with the id of the task.
``rq worker`` takes jobs by itself and needs neither ``receive`` nor ``delete``; those are for a worker that uses the
port (``selfhost.worker``). Both keep the same registries, so both kinds of worker can share a queue.

Redis only wakes workers. If it loses its data, or a worker dies with a job, the sweeper finds the task in the table.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry
from rq.connections import parse_connection
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.executions import Execution
from rq.job import Job

from urlsum.errors import QueueUnavailable, SettingsError
from urlsum.queues import Delivery, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Import path of the job function. A string, because `urlsum` must not import `selfhost` and senders need not load it.
FUNCTION = "selfhost.rq_task.run"

# A Redis nearby responds within a millisecond. A caller waits for the response to POST /submit: three tries of 2 + 4 s
# end before proxies and API clients time out (30 s and more).
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 4.0
RETRIES = 2
RETRY_BASE_SECONDS = 0.05
RETRY_CAP_SECONDS = 0.5

# From the end of a slice to the end of its job: the last checkpoint, the next message or the result and its email, each
# bounded by its client's time-outs. A job that takes longer hangs, and RQ kills it.
JOB_MARGIN_SECONDS = 120
# How often RQ restarts a job whose worker died or was killed. After that the sweeper finds the task.
MAX_WORKER_DEATHS = 3
# For people who look with `rq info` or a dashboard; by then the task itself has the reason.
FAILURE_TTL_SECONDS = 7 * 86400
# A worker counts as dead so much later than its next heartbeat is due, as in RQ's own workers.
HEARTBEAT_MARGIN_SECONDS = 60
# The longest wait inside Redis. Between two waits, due jobs are requeued.
BLOCK_SECONDS = 1.0
# Jobs requeued in one transaction: as many as RQ's scheduler takes at once.
PROMOTE_LIMIT = 1000


# These clients time out soon, so that a caller learns of an outage; RQ's own clients wait as long as they can.
CLIENT_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "retry": ConnectionRetry(ExponentialBackoff(cap=RETRY_CAP_SECONDS, base=RETRY_BASE_SECONDS), RETRIES),
}


def client(url: str) -> Redis:
    """A client for the Redis at ``url``, without a connection yet. Raises SettingsError on a wrong URL."""
    try:
        return Redis.from_url(url, **CLIENT_OPTIONS)
    except ValueError:
        # Not chained, and not quoted: the URL may hold a password.
        raise SettingsError("REDIS_URL: not a Redis URL; write redis://HOST:6379/0, or rediss:// for TLS") from None


def client_like(other: Redis) -> Redis:
    """A client for the Redis that ``other``, a client of RQ's, is connected to."""
    _, connection_class, arguments = parse_connection(other)
    return Redis(connection_pool=ConnectionPool(connection_class=connection_class, **{**arguments, **CLIENT_OPTIONS}))


class RedisQueue:
    """The RQ queue ``name`` in the Redis of ``connection``. Safe for many threads.

    A job works for ``slice_seconds`` before its task goes back to the queue. Another worker may claim the task
    ``lease_seconds`` after the last heartbeat of its worker.
    """

    reads_table = False

    def __init__(self, connection: Redis, name: str, *, slice_seconds: float, lease_seconds: float) -> None:
        self._queue = Queue(name, connection=connection)
        self._abandoned_after_seconds = max(0.0, lease_seconds - HEARTBEAT_MARGIN_SECONDS)
        self._job_seconds = math.ceil(slice_seconds) + JOB_MARGIN_SECONDS

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Ask for a worker after ``delay`` seconds, rounded up to a whole second of the clock."""
        with _translate_errors():
            job = self._queue.create_job(
                FUNCTION,
                args=(task_id,),
                timeout=self._job_seconds,
                result_ttl=0,
                failure_ttl=FAILURE_TTL_SECONDS,
                description=f"task {task_id}",
                retry=Retry(max=MAX_WORKER_DEATHS),
            )
            if delay > 0:
                self._queue.schedule_job(job, datetime.fromtimestamp(math.ceil(time.time() + delay), UTC))
            else:
                self._queue.enqueue_job(job)

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries. A delivery that is not deleted within the time of a job is redelivered."""
        deadline = time.monotonic() + wait
        with _translate_errors():
            while True:
                self.requeue_due_and_abandoned()
                left = deadline - time.monotonic()
                if (first := self._take(min(left, BLOCK_SECONDS))) is not None:
                    break
                if left <= 0:
                    return []
            deliveries = [first]
            while len(deliveries) < limit and (more := self._take(0.0)) is not None:
                deliveries.append(more)
        return deliveries

    def delete(self, delivery: Delivery) -> None:
        """Delete the job, as RQ does with a finished one."""
        with _translate_errors(), suppress(NoSuchJobError):
            job = Job.fetch(delivery.message_id, connection=self._queue.connection)
            job.delete(remove_from_queue=False)

    def requeue_due_and_abandoned(self) -> None:
        """Requeue jobs that are due, and jobs whose worker has sent no heartbeat for too long.

        Safe beside other processes that do the same, RQ's own scheduler and maintenance among them.
        """
        with _translate_errors():
            # Later than RQ itself would: while the dead worker's lease holds, no other worker can claim the task.
            self._queue.started_job_registry.cleanup(time.time() - self._abandoned_after_seconds)
            # Checks without a transaction first: nearly always no job is due.
            if self._queue.scheduled_job_registry.get_jobs_to_schedule(chunk_size=1):
                self._promote()

    def _promote(self) -> None:
        # A WatchError means that another process was faster: a message is neither lost nor doubled.
        registry = self._queue.scheduled_job_registry
        with self._queue.connection.pipeline() as pipeline, suppress(WatchError):
            pipeline.watch(registry.key)  # type: ignore[no-untyped-call] # of redis-py
            due = registry.get_jobs_to_schedule(chunk_size=PROMOTE_LIMIT)
            jobs = Job.fetch_many(due, connection=self._queue.connection)
            pipeline.multi()
            for job_id, job in zip(due, jobs, strict=True):
                if job is not None:
                    self._queue.enqueue_job(job, pipeline=pipeline)
                registry.remove(job_id, pipeline=pipeline)
            pipeline.execute()

    def _take(self, wait: float) -> Delivery | None:
        connection = self._queue.connection
        try:
            # RQ passes the time-out to Redis, which accepts fractions of a second.
            taken = Queue.dequeue_any([self._queue], wait if wait > 0 else None, connection)  # type: ignore[arg-type]
        except DequeueTimeout:
            return None
        if taken is None:
            return None
        job, _ = taken
        # As RQ's worker does before it starts a job: from here on RQ's registries record its worker and its time limit.
        with connection.pipeline() as pipeline:
            execution = Execution.create(job, self._job_seconds + HEARTBEAT_MARGIN_SECONDS, pipeline)
            job.prepare_for_execution("", pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.id)
            pipeline.execute()
        return Delivery(job.id, execution.id, encode(str(job.args[0])))


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise QueueUnavailable(f"Redis: {exc}") from exc
