"""The task queue in Redis, kept by RQ: one job is one message, and any RQ worker can do the work.

https://python-rq.org/docs/ describes the keys in Redis. A job calls ``selfhost.rq_task.run`` with the id of the task.
``rq worker`` takes jobs by itself and needs neither ``receive`` nor ``delete``; those are for a worker that uses the
port (``selfhost.worker``). Both keep the same registries, so both kinds of worker can share a queue.

``rq worker`` knows one queue only. So continuations wait outside of it, in the registry of scheduled jobs of a second
queue that no worker listens to, by the time since which they wait. ``admit`` moves one into the queue when there is a
worker for it: at the end of each job, and every second in the server.

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
from rq import Queue, Retry, Worker
from rq.connections import parse_connection
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.utils import as_text

from urlsum.errors import QueueUnavailable, SettingsError
from urlsum.queues import Delivery, HeldTasks, Order, Waiting, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
# Tries of a message whose task's jobs change meanwhile: at most two workers and a sweep have to do with one task.
SEND_TRIES = 5
# Marks the jobs that are continuations, so that one look at the queue tells what waits in it.
CONTINUED = "continued-"
# The second queue is named after the first.
CONTINUATIONS = "-continuations"
# The head of the queue that is looked at. One admitted continuation may stand there, two after a race.
HEAD = 4
# Of the workers, one in so many, and at least one, takes a continuation before a first slice.
SHARE = 4


# The key of a health check expires, so that a queue that is given up leaves nothing behind.
HEALTH_SECONDS = 60
# As large as a message.
HEALTH_BYTES = 1024

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
    ``lease_seconds`` after the last heartbeat of its worker. ``clock`` is the wall clock of the tasks' times.
    """

    reads_table = False

    def __init__(
        self,
        connection: Redis,
        name: str,
        *,
        slice_seconds: float,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = Queue(name, connection=connection)
        self._continuations = Queue(name + CONTINUATIONS, connection=connection)
        self._emails_key = f"urlsum:emails:{name}"
        self._abandoned_after_seconds = max(0.0, lease_seconds - HEARTBEAT_MARGIN_SECONDS)
        self._clock = clock
        self._job_seconds = math.ceil(slice_seconds) + JOB_MARGIN_SECONDS

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        """Ask for a worker after ``delay`` seconds, rounded up to a whole second of the clock.

        A task has one message that waits, of either kind: another one only cuts its wait short. A job that is running
        cannot be the next one too, because RQ deletes it at its end; so a task has two ids for each kind.
        """
        queue = self._continuations if continued else self._queue
        # Never early; but a continuation that is due now need not wait for the next second.
        since = math.ceil(self._clock() + delay) if delay > 0 else math.floor(self._clock())
        with translate_errors(), self._queue.connection.pipeline() as pipeline:
            for _ in range(SEND_TRIES):
                # RQ writes a job whenever it moves it: of two senders at once one is too late, and looks again.
                pipeline.watch(*map(Job.key_for, _job_ids(task_id)))  # type: ignore[no-untyped-call] # of redis-py
                free = self._hasten_or_find_free(task_id, since)
                if not free:
                    return
                job = self._job(task_id, next(job_id for job_id in free if is_continuation(job_id) is continued))
                pipeline.multi()
                if continued or delay > 0:
                    queue.schedule_job(job, datetime.fromtimestamp(since, UTC), pipeline=pipeline)
                else:
                    queue.enqueue_job(job, pipeline=pipeline)
                with suppress(WatchError):
                    pipeline.execute()
                    return
        raise QueueUnavailable(f"Redis: the jobs of task {task_id} changed too often")

    def _hasten_or_find_free(self, task_id: str, since: int) -> list[str]:
        """Let the job of the task that waits be due at ``since``; if none does, the ids of jobs that do not run."""
        ids = _job_ids(task_id)
        registries = [queue.scheduled_job_registry.key for queue in (self._queue, self._continuations)]
        with self._queue.connection.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hget(Job.key_for(job_id), "status")
                for registry in registries:
                    pipeline.zadd(registry, {job_id: since}, xx=True, lt=True)
                    pipeline.zscore(registry, job_id)
            found = pipeline.execute()
            states = {job_id: as_text(found[5 * n] or b"") for n, job_id in enumerate(ids)}
            if any(score is not None for n in range(len(ids)) for score in (found[5 * n + 2], found[5 * n + 4])):
                return []
            # Redis looks through the whole list, so only for a job that should stand in it.
            for job_id in (job_id for job_id, state in states.items() if state == JobStatus.QUEUED):
                pipeline.lpos(self._queue.key, job_id)
            if any(place is not None for place in pipeline.execute()):
                return []
        return [job_id for job_id, state in states.items() if state != JobStatus.STARTED]

    def send_email(self, task_id: str, *, delay: float = 0.0) -> None:
        """Ask the server to send the email of a finished task after ``delay`` seconds; each task waits once.

        Not among RQ's jobs: a mail server that is silent for minutes would take a worker for as long.
        """
        with translate_errors():
            self._queue.connection.zadd(self._emails_key, {task_id: self._clock() + delay})

    def take_email(self) -> str | None:
        """Take a finished task whose email is due, the longest waiting first; None if there is none.

        If this process dies before it claims the task, the sweep finds it in the table.
        """
        with translate_errors():
            connection = self._queue.connection
            due: list[bytes] = connection.zrangebyscore(self._emails_key, 0, self._clock(), start=0, num=1)  # type: ignore[assignment] # without scores
            # Of several servers one removes it.
            if due and connection.zrem(self._emails_key, due[0]):
                return as_text(due[0])
        return None

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries. A delivery that is not deleted within the time of a job is redelivered.

        Other workers may have admitted a continuation that comes whatever the ``order`` is.
        """
        deadline = time.monotonic() + wait
        with translate_errors():
            while True:
                self.requeue_due_and_abandoned()
                if order is not Order.FIRST_ONLY:
                    self.admit(before_first=order is Order.CONTINUED)
                left = deadline - time.monotonic()
                if (first := self._take(min(left, BLOCK_SECONDS))) is not None:
                    break
                if left <= 0:
                    return []
            deliveries = [first]
            while len(deliveries) < limit:
                if order is not Order.FIRST_ONLY:
                    self.admit()
                if (more := self._take(0.0)) is None:
                    break
                deliveries.append(more)
        return deliveries

    def count_waiting(self, patience: float) -> Waiting:
        """What waits in the queue for a worker, and among the continuations for over ``patience`` seconds."""
        with translate_errors(), self._queue.connection.pipeline(transaction=False) as pipeline:
            pipeline.lrange(self._queue.key, 0, HEAD - 1)
            pipeline.zcount(self._continuations.scheduled_job_registry.key, 0, self._clock() - patience)
            head, continued = pipeline.execute()
        return Waiting(first=sum(not is_continuation(as_text(job_id)) for job_id in head), continued=continued)

    def held(self) -> HeldTasks:
        """The tasks of all jobs that wait, are delayed, or run, and of emails that wait."""
        with translate_errors(), self._queue.connection.pipeline() as pipeline:
            pipeline.lrange(self._queue.key, 0, -1)
            for queue in (self._queue, self._continuations):
                pipeline.zrange(queue.scheduled_job_registry.key, 0, -1)
            pipeline.zrange(self._queue.started_job_registry.key, 0, -1)
            pipeline.zrange(self._emails_key, 0, -1)
            *waiting, started, emails = pipeline.execute()
        job_ids = [as_text(job_id) for place in waiting for job_id in place]
        job_ids += [StartedJobRegistry.parse_job_id(entry) for entry in started]
        return HeldTasks(frozenset(map(_task_of, job_ids)) | frozenset(map(as_text, emails)))

    def admit_for_idle(self) -> None:
        """``admit``, if there is a worker without a job.

        After a loss of data Redis knows no worker, although they all go on. One is assumed then: a continuation that
        nobody admits would wait for ever.
        """
        with translate_errors():
            running = self._queue.started_job_registry.get_job_count(cleanup=False)
            if running < max(1, Worker.count(queue=self._queue)):
                self.admit()

    def admit(self, *, before_first: bool | None = None) -> None:
        """Move the continuation that has waited longest into the queue, for a worker that is free now.

        It goes to the front of an empty queue; of another one only if too few continuations run: a quarter of the
        workers takes them before first slices. ``before_first`` decides that instead.
        """
        with translate_errors(), self._queue.connection.pipeline() as pipeline, suppress(WatchError):
            registry = self._continuations.scheduled_job_registry
            # A WatchError means that another process was faster.
            pipeline.watch(registry.key, self._queue.key)  # type: ignore[no-untyped-call] # of redis-py
            due = registry.get_jobs_to_schedule(int(self._clock()), chunk_size=1)
            if not due:
                return
            if head := self._head():
                if before_first is None:
                    before_first = self._running_continuations() < self._share()
                if not before_first or is_continuation(head[0]):
                    return
            [job] = Job.fetch_many(due, connection=self._queue.connection)
            pipeline.multi()
            if job is not None:
                self._queue.enqueue_job(job, pipeline=pipeline, at_front=True)
            registry.remove(due[0], pipeline=pipeline)
            pipeline.execute()

    def _job(self, task_id: str, job_id: str) -> Job:
        return self._queue.create_job(
            FUNCTION,
            args=(task_id,),
            timeout=self._job_seconds,
            result_ttl=0,
            failure_ttl=FAILURE_TTL_SECONDS,
            description=f"task {task_id}",
            retry=Retry(max=MAX_WORKER_DEATHS),
            job_id=job_id,
        )

    def _head(self) -> list[str]:
        return self._queue.get_job_ids(0, HEAD)

    def _running_continuations(self) -> int:
        return sum(is_continuation(job_id) for job_id in self._queue.started_job_registry.get_job_ids(cleanup=False))

    def _share(self) -> int:
        return max(1, Worker.count(queue=self._queue) // SHARE)

    def delete(self, delivery: Delivery) -> None:
        """Delete the job, as RQ does with a finished one."""
        with translate_errors(), suppress(NoSuchJobError):
            job = Job.fetch(delivery.message_id, connection=self._queue.connection)
            job.delete(remove_from_queue=False)

    def check_send(self) -> None:
        """Write a key beside the messages: a full Redis, and a replica, answer reads and refuse that."""
        with translate_errors():
            self._queue.connection.set(f"urlsum:health:{self._queue.name}", "x" * HEALTH_BYTES, ex=HEALTH_SECONDS)

    def requeue_due_and_abandoned(self) -> None:
        """Requeue jobs that are due, and jobs whose worker has sent no heartbeat for too long.

        Safe beside other processes that do the same, RQ's own scheduler and maintenance among them.
        """
        with translate_errors():
            # Later than RQ itself would: while the dead worker's lease holds, no other worker can claim the task.
            self._queue.started_job_registry.cleanup(self._clock() - self._abandoned_after_seconds)
            # Checks without a transaction first: nearly always no job is due.
            if self._queue.scheduled_job_registry.get_jobs_to_schedule(int(self._clock()), chunk_size=1):
                self._promote()

    def _promote(self) -> None:
        # A WatchError means that another process was faster: a message is neither lost nor doubled.
        registry = self._queue.scheduled_job_registry
        with self._queue.connection.pipeline() as pipeline, suppress(WatchError):
            pipeline.watch(registry.key)  # type: ignore[no-untyped-call] # of redis-py
            due = registry.get_jobs_to_schedule(int(self._clock()), chunk_size=PROMOTE_LIMIT)
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
        return Delivery(job.id, execution.id, encode(str(job.args[0])), continued=is_continuation(job.id))


def _job_ids(task_id: str) -> list[str]:
    """The ids that jobs of the task can have."""
    return [f"{prefix}{task_id}-{n}" for prefix in ("", CONTINUED) for n in range(2)]


def _task_of(job_id: str) -> str:
    return job_id.removeprefix(CONTINUED).rpartition("-")[0]


def is_continuation(job_id: str) -> bool:
    """Whether the job with this id has waited among the continuations."""
    return job_id.startswith(CONTINUED)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise QueueUnavailable instead of the client's errors."""
    try:
        yield
    except (RedisError, OSError) as exc:
        raise QueueUnavailable(f"Redis: {exc}") from exc
