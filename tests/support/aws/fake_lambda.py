"""A fake of Lambda between queue and worker: batches, partial failures and recursive loop detection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from functions.hash_worker.app import process
from urlsum import queues

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.queues import Delivery, TaskQueue
    from urlsum.wiring import Services

# "approximately 16 times": https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
MOST_HOPS = 16
# The complete example of https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
DOCUMENTED = {
    "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
    "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
    "body": "Test message.",
    "attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1545082649183",
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": "1545082649185",
    },
    "messageAttributes": {},
    "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
    "awsRegion": "us-east-2",
}


def record(body: str, message_id: str) -> dict[str, Any]:
    """One record of an event of Lambda."""
    return {**DOCUMENTED, "messageId": message_id, "body": body}


class Context:
    """The context of an invocation that has ``seconds`` left."""

    def __init__(self, seconds: float = 300.0) -> None:
        self.seconds = seconds
        self.aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds * 1000)


@dataclass
class FakeLambda:
    """Invokes the worker for the messages of ``services.queue``; ``recursive_loop`` is the property of the function.

    AWS counts hops in the trace header, which its SDKs copy from the event of a function to the messages that it sends.
    Here the task's id replaces that header.
    """

    services: Services
    recursive_loop: str
    seconds: float = 300.0
    advance: Callable[[float], None] = lambda seconds: None
    invocations: int = 0
    stopped: list[str] = field(default_factory=list)
    hops: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Invoke until the queue is empty."""
        queue: TaskQueue = self.services.queue
        while deliveries := queue.receive(10, wait=0):
            batch = [delivery for delivery in deliveries if self._lets_through(delivery)]
            if batch:
                self._invoke(batch)

    def _lets_through(self, delivery: Delivery) -> bool:
        task_id = queues.decode(delivery.body)
        self.hops[task_id] += 1
        if self.recursive_loop == "Allow" or self.hops[task_id] <= MOST_HOPS:
            return True
        self.stopped.append(task_id)  # Lambda moves it to the dead-letter queue
        self.services.queue.delete(delivery)
        return False

    def _invoke(self, batch: list[Delivery]) -> None:
        self.invocations += 1
        event = {"Records": [record(delivery.body, delivery.message_id) for delivery in batch]}
        response = process(event, Context(self.seconds), services=lambda: self.services)
        failed = {failure["itemIdentifier"] for failure in response["batchItemFailures"]}
        for delivery in batch:
            if delivery.message_id not in failed:
                self.services.queue.delete(delivery)
