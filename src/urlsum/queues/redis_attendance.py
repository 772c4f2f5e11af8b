"""Who sends to an RQ queue and who takes from it, as its Redis knows: the port ``urlsum.health.meeting.Attendance``."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import as_text

from urlsum.queues.redis import translate_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

# So that a queue that is given up leaves nothing behind.
KEPT_SECONDS = 86400


class RedisAttendance:
    """The attendance at the RQ queue ``name``. ``clock`` is the wall clock of those that send. Safe for threads.

    Every method raises QueueUnavailable.
    """

    def __init__(self, connection: Redis, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._queue = Queue(name, connection=connection)
        self._key = f"urlsum:servers:{name}"
        self._clock = clock

    def announce(self, deployment: str) -> None:
        """Write down that a server of ``deployment`` sends to this queue now."""
        with translate_errors():
            now = self._now()
            with self._connection.pipeline() as pipeline:
                pipeline.zadd(self._key, {deployment: now})
                pipeline.zremrangebyscore(self._key, 0, now - KEPT_SECONDS)
                pipeline.expire(self._key, KEPT_SECONDS)
                pipeline.execute()

    def announced(self) -> dict[str, float]:
        """The deployments whose servers send to this queue, and how many seconds ago each last said so."""
        with translate_errors():
            now = self._now()
            members = cast("list[tuple[bytes, float]]", self._connection.zrange(self._key, 0, -1, withscores=True))
            return {as_text(member): now - score for member, score in members}

    def unattended(self) -> float:
        """The seconds that the first message has waited while no worker is there; 0 if none waits or one is there.

        A worker is there while RQ's record of it lives, which dies with its heartbeat, or while a job runs: after a
        loss of data Redis does not know the workers that have lived through it until they take their next message.
        """
        with translate_errors():
            workers = Worker.all_keys(queue=self._queue)
            with self._connection.pipeline(transaction=False) as pipeline:
                pipeline.lindex(self._queue.key, 0)
                pipeline.zcard(self._queue.started_job_registry.key)
                for worker in workers:
                    pipeline.exists(worker)
                first, *there = pipeline.execute()
            if first is None or any(there):
                return 0.0
            with suppress(NoSuchJobError):  # taken meanwhile
                enqueued_at = Job.fetch(as_text(first), connection=self._connection).enqueued_at
                return 0.0 if enqueued_at is None else max(0.0, self._clock() - enqueued_at.timestamp())
        return 0.0

    def evicts(self) -> str | None:
        """The policy by which a Redis that is full deletes messages to make room; None if it refuses new ones."""
        with translate_errors():
            policy = str(self._connection.info("memory").get("maxmemory_policy", ""))
        # The volatile ones delete keys with an expiry only, which no message has.
        return policy if policy.startswith("allkeys") else None

    def _now(self) -> float:
        """The clock of Redis, by which all deployments can be compared."""
        seconds, microseconds = self._connection.time()
        return seconds + microseconds / 1e6
