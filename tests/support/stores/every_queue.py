"""Every queue behind one interface, for their common contract tests."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import boto3
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoRedis
from rq import Queue
from rq.job import Job

from tests.support.stores.tables import new_task
from urlsum.queues import decode
from urlsum.queues.redis import CONTINUATIONS, RedisQueue, client
from urlsum.queues.sqs import SqsQueue
from urlsum.queues.table import REDELIVERY_SECONDS, TableQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.queues import Delivery, TaskQueue
    from urlsum.tables import TaskTable

REDIS = os.environ.get("URLSUM_TEST_REDIS", "redis://127.0.0.1:6379/9")


class QueueRig(Protocol):
    """A queue, and the actions of the service, the worker and the clock on it."""

    queue: TaskQueue

    def submit(self, *, delay: float = 0.0, continued: bool = False) -> str:
        """Submit as the service does, the row first and then the message; return the task's id.

        A ``continued`` task is sent as a worker does it.
        """
        ...

    def work(self, delivery: Delivery) -> None:
        """Finish the task of the delivery as a worker does, but do not delete the delivery."""
        ...

    def lapse(self, delivery: Delivery) -> None:
        """Advance past the time after which an undeleted delivery is redelivered."""
        ...


class SqsRig:
    """SQS by moto: a message without a row."""

    def __init__(self, queue_url: str, continuations_url: str) -> None:
        self.queue: TaskQueue = SqsQueue(queue_url, continuations_url)
        self._url = queue_url

    def submit(self, *, delay: float = 0.0, continued: bool = False) -> str:
        task = new_task()
        self.queue.send(task.id, delay=delay, continued=continued)
        return task.id

    def work(self, delivery: Delivery) -> None:
        decode(delivery.body)

    def lapse(self, delivery: Delivery) -> None:
        boto3.client("sqs").change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=delivery.receipt, VisibilityTimeout=0
        )


class TableRig:
    """The table as the queue: it delivers rows, and the worker moves their ``due_at``."""

    def __init__(self, table: TaskTable) -> None:
        self._table = table
        self._ahead = 0.0
        self.queue: TaskQueue = TableQueue(table, monotonic=lambda: time.monotonic() + self._ahead)

    def submit(self, *, delay: float = 0.0, continued: bool = False) -> str:
        now = time.time()
        task = new_task(created_at=now, updated_at=now, due_at=now + delay, continued=continued)
        self._table.add(task)
        self.queue.send(task.id, delay=delay, continued=continued)
        return task.id

    def work(self, delivery: Delivery) -> None:
        before = self._table.get(decode(delivery.body))
        self._table.save(replace(before, due_at=None), over=before)

    def lapse(self, delivery: Delivery) -> None:
        self._ahead += REDELIVERY_SECONDS


class RedisRig:
    """RQ's data in Redis, under a queue name of the test's own."""

    def __init__(self, url: str, name: str) -> None:
        self.redis = RedisQueue(client(url), name, slice_seconds=240, lease_seconds=90)
        self.queue: TaskQueue = self.redis
        self.rq = Queue(name, connection=Redis.from_url(url))
        self.continuations = Queue(name + CONTINUATIONS, connection=self.rq.connection)

    def submit(self, *, delay: float = 0.0, continued: bool = False) -> str:
        task = new_task()
        self.queue.send(task.id, delay=delay, continued=continued)
        return task.id

    def work(self, delivery: Delivery) -> None:
        decode(delivery.body)

    def lapse(self, delivery: Delivery) -> None:
        started = self.rq.started_job_registry
        # xx: only a registered job can expire
        self.rq.connection.zadd(started.key, {f"{delivery.message_id}:{delivery.receipt}": 1}, xx=True)


@contextmanager
def redis_rig() -> Iterator[RedisRig]:
    """Yield a new queue in a real Redis and empty it afterwards; skip without a server."""
    rig = RedisRig(REDIS, f"urlsum-test-{uuid.uuid4().hex}")
    try:
        rig.rq.connection.ping()
    except NoRedis as exc:
        pytest.skip(f"no Redis answers at {REDIS} (URLSUM_TEST_REDIS): {exc}")
    try:
        yield rig
    finally:
        rq, waiting = rig.rq, rig.continuations.scheduled_job_registry
        for registry in (rq, rq.scheduled_job_registry, rq.started_job_registry, rq.failed_job_registry, waiting):
            for job in Job.fetch_many(list(registry.get_job_ids()), rq.connection):
                if job is not None:
                    job.delete()
        rq.delete(delete_jobs=True)
        rig.continuations.delete()
        rig.rq.connection.delete(f"urlsum:servers:{rq.name}")
        rig.rq.connection.close()
