"""The port to the task queue; each adapter beside it serves one technology."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of one message; the queue needs ``receipt`` to delete it."""

    message_id: str
    receipt: str
    body: str


class TaskQueue(Protocol):
    """Wakes a worker for a task. Delivery is at-least-once, possibly late and out of order; the table decides.

    Every method raises QueueUnavailable if the queue does not respond.
    """

    @property
    def reads_table(self) -> bool:
        """Whether the queue itself delivers every task that is due in the table, so that no message can be missing."""
        ...

    def send(self, task_id: str, *, delay: float = 0.0) -> None:
        """Ask for a worker after ``delay`` seconds, or as close to that as the queue can delay."""
        ...

    def receive(self, limit: int, *, wait: float) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries, waiting at most ``wait`` seconds for the first."""
        ...

    def delete(self, delivery: Delivery) -> None:
        """Acknowledge the delivery; the queue redelivers a message that is not deleted."""
        ...


def encode(task_id: str) -> str:
    """The message body for a task."""
    return json.dumps({"id": task_id})


def decode(body: str) -> str:
    """The task id in a message body. Raises ValueError on anything else."""
    message = json.loads(body)
    if not isinstance(message, dict) or not isinstance(message.get("id"), str):
        raise ValueError(f"not a task message: {body[:100]!r}")  # noqa: TRY004 - the content is wrong, not the type
    task_id: str = message["id"]
    return task_id
