"""The task queue in Amazon SQS.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from urlsum import aws
from urlsum.errors import QueueUnavailable
from urlsum.queues import Delivery, HeldCount, Order, Waiting, encode, is_continuation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_sqs import SQSClient

# Limits of the service (SendMessage, ReceiveMessage).
MAX_DELAY_SECONDS = 900
MAX_WAIT_SECONDS = 20
MAX_BATCH = 10

# Inside a region SQS connects within milliseconds and responds within tens of them. A caller waits for the response to
# POST /submit, and API Gateway waits for 30 s: three tries of 2 + 4 s and the pauses between them end before that.
CONNECT_SECONDS = 2
ANSWER_SECONDS = 4
TRIES = 3
# Within this time the sweeps send as many messages without need as tasks wait: a day, so that each hour has one for 24
# tasks. Such a message costs a millionth of a dollar and a look by a worker.
RESEND_SECONDS = 24 * 3600.0
# A receiver of both queues can wait at one only. This long it waits there before it looks at the other.
TURN_SECONDS = 1


class SqsQueue:
    """The queue at ``queue_url``, with the credentials and the region of the environment.

    Continuations go to ``continuations_url``, so that Lambda's event source mappings bound the workers of each; without
    one there is a single queue for both.

    A sweep runs every ``sweep_seconds``. If only the response of SQS was lost, a retry sends the message twice; the
    table makes that harmless.
    """

    reads_table = False

    def __init__(self, queue_url: str, continuations_url: str | None = None, *, sweep_seconds: float = 300.0) -> None:
        self._queue_url = queue_url
        self._continuations_url = continuations_url
        self._sweep_seconds = sweep_seconds

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        """Ask for a worker after ``delay`` seconds, rounded up, or after 15 minutes, the longest delay of SQS.

        If the message comes before the task is due, the worker sees that in the table and sends the message again.
        """
        seconds = math.ceil(min(max(delay, 0.0), MAX_DELAY_SECONDS))
        with _translate_errors():
            self._sender.send_message(
                QueueUrl=self._url(continued=continued),
                MessageBody=encode(task_id, continued=continued),
                DelaySeconds=seconds,
            )

    def prepare(self) -> None:
        """Make the client that sends now, and not at the first message."""
        _ = self._sender

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries of one kind, never more than 10; ``wait`` is cut to whole seconds, at most 20."""
        if self._continuations_url is None or order is Order.FIRST_ONLY:
            return self._receive(limit, min(wait, MAX_WAIT_SECONDS), continued=False)
        left = min(wait, MAX_WAIT_SECONDS)
        while True:
            for continued in (False, True) if order is Order.FIRST else (True, False):
                if deliveries := self._receive(limit, 0, continued=continued):
                    return deliveries
            if left < TURN_SECONDS:
                return []
            if deliveries := self._receive(limit, TURN_SECONDS, continued=False):
                return deliveries
            left -= TURN_SECONDS

    def delete(self, delivery: Delivery) -> None:
        """Delete the message of ``delivery``."""
        with _translate_errors():
            self._sender.delete_message(
                QueueUrl=self._url(continued=delivery.continued), ReceiptHandle=delivery.receipt
            )

    def count_waiting(self, patience: float) -> Waiting:  # noqa: ARG002 - SQS does not tell the age of a message
        """Count the continuations that no worker has received yet, whatever their age; SQS may be a minute late.

        First slices are not counted: their queue has workers of its own.
        """
        if self._continuations_url is None:
            return Waiting()
        return Waiting(continued=self._count(continued=True))

    def held(self) -> HeldCount:
        """Count the messages that wait: SQS cannot list them, and its counts are approximate, late by up to a minute.

        A message that is delayed, or with a worker, is not that of a task that has been due for a lease. Counted, those
        of workers that are always busy would hide lost ones.
        """
        first = self._count(continued=False)
        continued = None if self._continuations_url is None else self._count(continued=True)
        return HeldCount(first, continued, share=self._sweep_seconds / RESEND_SECONDS)

    def _count(self, *, continued: bool) -> int:
        with _translate_errors():
            response = self._sender.get_queue_attributes(
                QueueUrl=self._url(continued=continued), AttributeNames=["ApproximateNumberOfMessages"]
            )
        return int(response["Attributes"]["ApproximateNumberOfMessages"])

    def check_send(self) -> None:
        """Look at the queues: SQS has no read-only or full ones, so one that is found takes messages."""
        with _translate_errors():
            for url in filter(None, (self._queue_url, self._continuations_url)):
                self._sender.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])

    def _url(self, *, continued: bool) -> str:
        return self._continuations_url if continued and self._continuations_url else self._queue_url

    def _receive(self, limit: int, wait: float, *, continued: bool) -> list[Delivery]:
        with _translate_errors():
            response = self._receiver.receive_message(
                QueueUrl=self._url(continued=continued),
                MaxNumberOfMessages=min(limit, MAX_BATCH),
                WaitTimeSeconds=int(wait),
            )
        return [
            Delivery(
                message_id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                continued=continued if self._continuations_url else is_continuation(message["Body"]),
            )
            for message in response.get("Messages", [])
        ]

    # Created at first use, because a new client looks for credentials, which can mean a request. There are two, because
    # the read time-out for sending would cut every long poll.

    @cached_property
    def _sender(self) -> SQSClient:
        return _client(ANSWER_SECONDS)

    @cached_property
    def _receiver(self) -> SQSClient:
        return _client(MAX_WAIT_SECONDS + ANSWER_SECONDS)


def _client(answer_seconds: float) -> SQSClient:
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=answer_seconds,
        retries={"mode": "standard", "total_max_attempts": TRIES},
    )
    sqs: SQSClient = aws.client("sqs", config)
    return sqs


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as exc:
        raise QueueUnavailable(f"SQS: {exc}") from exc
