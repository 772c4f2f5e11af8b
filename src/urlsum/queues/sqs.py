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

# Inside a region SQS connects within milliseconds and answers within tens of them. Somebody waits for the answer to
# POST /submit, and API Gateway waits for 30 s: three tries of 2 + 4 s and the pauses between them end before that.
CONNECT_SECONDS = 2
ANSWER_SECONDS = 4
TRIES = 3


class SqsQueue:
    """The queue at ``queue_url``, with the credentials and the region of the environment.

    A message that SQS took although its answer was lost is sent twice by a retry; the table makes that harmless.
    """

    reads_table = False

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Ask for a worker after ``delay`` seconds, rounded up, or after 15 minutes, the longest that SQS can wait.

        A message that comes before the task is due finds that out from the table, and is sent again.
        """
        seconds = math.ceil(min(max(delay, 0.0), MAX_DELAY_SECONDS))
        with _translated():
            self._sender.send_message(QueueUrl=self._queue_url, MessageBody=encode(task_id), DelaySeconds=seconds)

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries, never more than 10; ``wait`` counts in whole seconds, up to 20."""
        with _translated():
            answer = self._receiver.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(limit, MAX_BATCH),
                WaitTimeSeconds=int(min(wait, MAX_WAIT_SECONDS)),
            )
        return [
            Delivery(message_id=message["MessageId"], receipt=message["ReceiptHandle"], body=message["Body"])
            for message in answer.get("Messages", [])
        ]

    def delete(self, delivery: Delivery) -> None:
        """Delete the message that ``delivery`` brought."""
        with _translated():
            self._sender.delete_message(QueueUrl=self._queue_url, ReceiptHandle=delivery.receipt)

    # Made at first use, because making a client looks for credentials, which can mean a request. Two of them, because
    # a read time-out that is good for sending would cut every long poll.

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
    # A session of its own: boto3's default one must not be shared by threads that make clients at the same time.
    return boto3.Session().client("sqs", config=config)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as exc:
        raise QueueUnavailable(f"SQS: {exc}") from exc
