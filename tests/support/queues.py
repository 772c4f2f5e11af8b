"""Every queue behind one handle, for the suite that they share."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import boto3

from tests.support.tables import new_task
from urlsum.queues import decode
from urlsum.queues.sqs import SqsQueue
from urlsum.queues.table import REDELIVERY_SECONDS, TableQueue

if TYPE_CHECKING:
    from urlsum.queues import Delivery, TaskQueue
    from urlsum.tables import TaskTable


class QueueRig(Protocol):
    """A queue, and what its surroundings do to it."""

    queue: TaskQueue

    def submit(self, *, delay: float = 0.0) -> str:
        """Do as the service does: the row first, then the message; return the task's id."""
        ...

    def work(self, delivery: Delivery) -> None:
        """Do as a worker does that finishes the task of the delivery; it still has to delete it."""
        ...

    def lapse(self, delivery: Delivery) -> None:
        """Let the time pass after which an undeleted delivery comes again."""
        ...


class SqsRig:
    """SQS: the message is all there is, and moto keeps it."""

    def __init__(self, queue_url: str) -> None:
        self.queue: TaskQueue = SqsQueue(queue_url)
        self._url = queue_url

    def submit(self, *, delay: float = 0.0) -> str:
        task = new_task()
        self.queue.send(task.id, delay=delay)
        return task.id

    def work(self, delivery: Delivery) -> None:
        decode(delivery.body)

    def lapse(self, delivery: Delivery) -> None:
        boto3.client("sqs").change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=delivery.receipt, VisibilityTimeout=0
        )


class TableRig:
    """The table as the queue: rows are what is delivered, and work moves their ``due_at``."""

    def __init__(self, table: TaskTable) -> None:
        self._table = table
        self._ahead = 0.0
        self.queue: TaskQueue = TableQueue(table, monotonic=lambda: time.monotonic() + self._ahead)

    def submit(self, *, delay: float = 0.0) -> str:
        now = time.time()
        task = new_task(created_at=now, updated_at=now, due_at=now + delay)
        self._table.add(task)
        self.queue.send(task.id, delay=delay)
        return task.id

    def work(self, delivery: Delivery) -> None:
        before = self._table.get(decode(delivery.body))
        self._table.save(replace(before, due_at=None), over=before)

    def lapse(self, delivery: Delivery) -> None:
        self._ahead += REDELIVERY_SECONDS
