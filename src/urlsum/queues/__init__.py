"""The port to the task queue; each adapter beside it serves one technology."""

from __future__ import annotations

import json
from contextlib import suppress
from enum import Enum
from random import random
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.tables import Overdue


class Delivery(Struct, frozen=True):
    """One delivery of one message; the queue needs ``receipt`` to delete it.

    ``continued`` says whether it may be a continuation: it waited among them, or in a queue for both.
    """

    message_id: str
    receipt: str
    body: str
    continued: bool = False


class Order(Enum):
    """Which deliveries a worker wants while first slices and continuations wait."""

    FIRST_ONLY = "first only"
    FIRST = "first slices before continuations"
    CONTINUED = "continuations before first slices"


class Waiting(Struct, frozen=True):
    """How many tasks wait so long that running slices should hand over; a queue may count no further than it needs."""

    first: int = 0
    continued: int = 0


class Held(Protocol):
    """The messages that a queue held at one moment, as far as it can say."""

    def missing(self, waiting: Sequence[Overdue]) -> list[str]:
        """Ids of those among the ``waiting`` tasks that have no message.

        The tasks have been due for a lease, and no worker holds them. They come with the longest waiting first.
        """
        ...


class HeldTasks(Struct, frozen=True):
    """The tasks that had a message, of a queue that can list them."""

    tasks: frozenset[str]

    def missing(self, waiting: Sequence[Overdue]) -> list[str]:
        """Exactly those without a message."""
        return [task.id for task in waiting if task.id not in self.tasks]


class HeldCount(Struct, frozen=True):
    """How many messages waited in a queue, where it cannot say whose they are.

    Where there are fewer messages than tasks that wait, the difference is missing. Messages come roughly in the order
    of waiting, so the longest waiting have lost theirs. A wrong count corrects itself: what it makes a sweep send is
    counted by the next one. ``continued`` is None where ``first`` has the messages of both kinds.

    While a queue is never empty, messages of others hide a lost one. Its task becomes the longest waiting of all once
    the queue has passed it, so of the longest waiting a ``share`` is sent again by each sweep.
    """

    first: int
    continued: int | None = None
    share: float = 0.0
    fraction: Callable[[], float] = random

    def missing(self, waiting: Sequence[Overdue]) -> list[str]:
        """As many as messages are missing, or the share; the longest waiting."""
        if self.continued is None:
            return self._without(waiting, self.first)
        first = self._without([task for task in waiting if not task.continued], self.first)
        return first + self._without([task for task in waiting if task.continued], self.continued)

    def _without(self, waiting: Sequence[Overdue], messages: int) -> list[str]:
        # Rounded at random, so that a share of few tasks is right on average.
        share = int(len(waiting) * self.share + self.fraction())
        return [task.id for task in waiting[: max(share, len(waiting) - messages)]]


class TaskQueue(Protocol):
    """Wakes a worker for a task. Delivery is at-least-once, possibly late and out of order; the table decides.

    Tasks that are ``continued`` (``urlsum.task.Task``) wait apart from the others. Every method raises QueueUnavailable
    if the queue does not respond.
    """

    @property
    def reads_table(self) -> bool:
        """Whether the queue itself delivers every task that is due in the table, so that no message can be missing."""
        ...

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        """Ask for a worker after ``delay`` seconds, or as close to that as the queue can delay."""
        ...

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        """Up to ``limit`` deliveries in this order, waiting at most ``wait`` seconds for the first."""
        ...

    def count_waiting(self, patience: float) -> Waiting:
        """The tasks that wait: first slices for more than a moment, continuations for over ``patience`` seconds.

        One small request, so that a worker may ask every second.
        """
        ...

    def held(self) -> Held:
        """The messages in the queue now."""
        ...

    def delete(self, delivery: Delivery) -> None:
        """Acknowledge the delivery; the queue redelivers a message that is not deleted."""
        ...

    def check_send(self) -> None:
        """Raise QueueUnavailable unless the queue would take a message now; no worker is woken."""
        ...


def encode(task_id: str, *, continued: bool = False) -> str:
    """The message body for a task."""
    return json.dumps({"id": task_id, "continued": True} if continued else {"id": task_id})


def decode(body: str) -> str:
    """The task id in a message body. Raises ValueError on anything else."""
    message = json.loads(body)
    if not isinstance(message, dict) or not isinstance(message.get("id"), str):
        raise ValueError(f"not a task message: {body[:100]!r}")  # noqa: TRY004 - the content is wrong, not the type
    task_id: str = message["id"]
    return task_id


def is_continuation(body: str) -> bool:
    """Whether a message body is that of a continuation; False for anything that is no message."""
    with suppress(ValueError):
        message = json.loads(body)
        return isinstance(message, dict) and message.get("continued") is True
    return False
