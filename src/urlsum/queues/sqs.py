"""The task queue in Amazon SQS.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from urlsum.errors import QueueUnavailable
from urlsum.queues import Delivery, encode

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


class SqsQueue:
    """The queue at ``queue_url``, with the credentials and the region of the environment.

    If only the response of SQS was lost, a retry sends the message twice; the table makes that harmless.
    """

    reads_table = False

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Ask for a worker after ``delay`` seconds, rounded up, or after 15 minutes, the longest delay of SQS.

        If the message comes before the task is due, the worker sees that in the table and sends the message again.
        """
        seconds = math.ceil(min(max(delay, 0.0), MAX_DELAY_SECONDS))
        with _translate_errors():
            self._sender.send_message(QueueUrl=self._queue_url, MessageBody=encode(task_id), DelaySeconds=seconds)

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries, never more than 10; ``wait`` is cut to whole seconds, at most 20."""
        with _translate_errors():
            response = self._receiver.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(limit, MAX_BATCH),
                WaitTimeSeconds=int(min(wait, MAX_WAIT_SECONDS)),
            )
        return [
            Delivery(message_id=message["MessageId"], receipt=message["ReceiptHandle"], body=message["Body"])
            for message in response.get("Messages", [])
        ]

    def delete(self, delivery: Delivery) -> None:
        """Delete the message of ``delivery``."""
        with _translate_errors():
            self._sender.delete_message(QueueUrl=self._queue_url, ReceiptHandle=delivery.receipt)

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
    # A separate session: threads that create clients at the same time must not share boto3's default one.
    return boto3.Session().client("sqs", config=config)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as exc:
        raise QueueUnavailable(f"SQS: {exc}") from exc
