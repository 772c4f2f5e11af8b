"""Seeded random faults in the ports: failed writes, duplicated messages, workers that die or sleep.

One thread and a simulated clock. Concurrency happens within the origin's reads: other messages are delivered, other
sweeps run, the clock jumps past the lease, and then the first worker continues, unaware of it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.support.origin.synthetic import Clock, SyntheticSource, SyntheticStream
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, secret
from urlsum import service
from urlsum.deadline import Deadline
from urlsum.errors import (
    Incomplete,
    LeaseLost,
    MailUnavailable,
    QueueUnavailable,
    TableUnavailable,
    TaskNotFound,
    TimedOut,
    Unavailable,
)
from urlsum.origin.guard.guard import Guard
from urlsum.queues import HeldTasks, Order
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.task import Mail, Status, Task
from urlsum.worker.delivery import handle
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from urlsum.mail import Letter
    from urlsum.queues import Delivery, Held, Waiting
    from urlsum.tables import TaskTable
    from urlsum.task import Checkpoint, Representation

SETTINGS = Settings(max_attempts=1000, checkpoint_seconds=10, lease_seconds=90)
SWEEP_SECONDS = 300.0
# How deep deliveries may nest: a read of one worker can run another worker.
DEPTH = 3


class Death(BaseException):
    """The death of the process; urlsum must not catch it."""


@dataclass
class FlakyTable:
    """Fails a share of all writes, half of them after applying them; records every fence and result."""

    inner: TaskTable
    rng: random.Random
    share: float
    results: dict[str, tuple[Status, str | None]] = field(default_factory=dict)
    fences: Counter[str] = field(default_factory=Counter)
    unmarked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.get, self.due, self.purge = self.inner.get, self.inner.due, self.inner.purge
        self.overdue = self.inner.overdue

    def add(self, task: Task) -> None:
        self._stumble()
        self.inner.add(task)
        self._stumble()

    def remove(self, task: Task) -> bool:
        self._stumble()
        removed = self.inner.remove(task)
        self._stumble()
        return removed

    def unfinished(self, limit: int) -> int:
        self._stumble()
        return self.inner.unfinished(limit)

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        try:
            self._stumble()
            self.inner.save(task, over=over, lease_before=lease_before)
            assert self.fences[task.id] <= task.fence, "a stale write"
            self.fences[task.id] = task.fence
            if task.complete:
                result = task.status, task.md5
                assert self.results.setdefault(task.id, result) == result, "a second result"
            self._stumble()
        except (TableUnavailable, LeaseLost):
            self.unmarked[task.id] += task.mail is Mail.SENT
            raise

    def _stumble(self) -> None:
        if self.rng.random() < self.share / 2:
            raise TableUnavailable("on a bad day")


@dataclass
class DuplicatingQueue:
    """Delivers every message ``copies`` times, in any order, at any time; fails a share of all sends."""

    rng: random.Random
    share: float
    copies: int
    messages: list[str] = field(default_factory=list)
    reads_table = False

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        if self.rng.random() < self.share / 2:
            raise QueueUnavailable("on a bad day")
        self.messages += [task_id] * self.copies
        if self.rng.random() < self.share / 2:
            raise QueueUnavailable("on a bad day, the answer lost")

    def take(self) -> str:
        return self.messages.pop(self.rng.randrange(len(self.messages)))

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        raise AssertionError("the test takes")

    def count_waiting(self, patience: float) -> Waiting:
        raise AssertionError("no slice has a turn")

    def check_send(self) -> None:
        pass

    def held(self) -> Held:
        return HeldTasks(frozenset(self.messages))

    def delete(self, delivery: Delivery) -> None:
        raise AssertionError("the test deletes")


class DroppingQueue(DuplicatingQueue):
    """Accepts every message and delivers none."""

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        pass


@dataclass
class FlakyMailer(MemoryMailer):
    """Is unavailable from time to time."""

    rng: random.Random
    share: float

    def __post_init__(self) -> None:
        super().__init__()

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        if self.rng.random() < self.share:
            raise MailUnavailable("greylisted")
        super().send(letter, hold=hold)


class ChaosRun:
    """A simulation of some tasks under these faults."""

    def __init__(
        self, table: TaskTable, rng: random.Random, *, share: float = 0.0, copies: int = 1, violence: float = 0.0
    ) -> None:
        self.rng = rng
        self.clock = Clock()
        self.table = FlakyTable(table, rng, share)
        self.queue = DuplicatingQueue(rng, share, copies)
        self.sweeper_queue = self.queue
        self.mailer = FlakyMailer(rng, share)
        self.violence = violence
        self.sources: dict[str, SyntheticSource] = {}
        self.ids: dict[str, str] = {}
        self.depth = 0
        self.swept_at = self.clock.now

    # The source of all files.
    def open(
        self, url: str, *, deadline: Deadline, resume: Checkpoint | None = None, heartbeat: object = None
    ) -> SyntheticStream:
        return self.sources[url].open(url, deadline=deadline, resume=resume)

    def recognize(
        self, url: str, wanted: str, fingerprint: str, *, deadline: Deadline, heartbeat: object = None
    ) -> tuple[Representation, int] | None:
        return self.sources[url].recognize(url, wanted, fingerprint, deadline=deadline)

    def submit(self, count: int) -> None:
        """Submit tasks until ``count`` are accepted; after an error, the client submits again."""
        while len(self.ids) < count:
            url = f"https://origin.example/{len(self.ids)}"
            content = self.rng.randbytes(self.rng.randrange(60_000))
            self.sources[url] = SyntheticSource(content, self.clock, fault=partial(self._fault, url))
            submission = Submission(url=url, email="reader@abc.ru")
            guard = Guard(SETTINGS)
            try:
                task_id = service.submit(
                    submission,
                    table=self.table,
                    queue=self.queue,
                    guard=guard,
                    secret=secret,
                    now=self.clock(),
                    ttl_days=30,
                )
            except Unavailable:
                continue
            self.ids[task_id] = url

    def run(self) -> None:
        """Run until every accepted task has ended and no email is pending; fail if a task never ends."""
        for _ in range(10_000):
            if not any(self._owes(task_id) for task_id in self.ids):
                return
            self._step()
        raise AssertionError("a task hangs")

    def assert_right(self) -> None:
        """Check results and emails."""
        sent = Counter(letter.body.partition("Task:      ")[2][:36] for letter in self.mailer.letters)
        for task_id, url in self.ids.items():
            task = self.table.get(task_id)
            assert (task.status, task.md5) == (Status.DONE, self.sources[url].md5)
            assert task.mail is Mail.SENT
            # One email, and another for each time that its mark could not be saved.
            assert 1 <= sent[task_id] <= 1 + self.table.unmarked[task_id]

    def _owes(self, task_id: str) -> bool:
        try:
            return self.table.get(task_id).due_at is not None
        except TaskNotFound as exc:
            raise AssertionError(f"{task_id} was answered and is lost") from exc

    def _step(self) -> None:
        if self.queue.messages:
            self._deliver(self.queue.take())
            self.clock.now += 1  # otherwise early messages, each replaced by three, would stop the clock
        else:
            self.clock.now += 60
        if self.clock.now - self.swept_at > SWEEP_SECONDS:
            self._sweep()

    def _deliver(self, task_id: str) -> None:
        self.depth += 1
        deadline = Deadline.after(self.rng.uniform(15, 240), clock=self.clock)
        deps = Deps(SETTINGS, self.table, self, self.clock, self.clock, self.queue, self.mailer)
        try:
            handle(task_id, deps, deadline=deadline)
        except (Unavailable, Death):
            self.queue.messages.append(task_id)  # redelivery after the visibility time-out
        finally:
            self.depth -= 1

    def _sweep(self) -> None:
        self.swept_at = self.clock.now
        for _ in range(2):  # two concurrent sweeps must do no harm
            with suppress(Unavailable):
                sweep(self.table, self.sweeper_queue, now=self.clock(), settings=SETTINGS)

    def _fault(self, url: str, _offset: int) -> None:
        chance = self.rng.random() / self.violence if self.violence else 1.0
        if chance < 0.1:
            raise Death
        if chance < 0.2:
            self.clock.now += 2.5 * SETTINGS.lease_seconds  # the worker sleeps, and a message of the same task arrives
            if self.depth < DEPTH:
                self._deliver(next(task_id for task_id in self.ids if self.ids[task_id] == url))
        elif chance < 0.3:
            raise self.rng.choice([Incomplete("cut"), TimedOut("silent")])
        elif chance < 0.6 and self.depth < DEPTH:
            self._step()
        elif chance < 0.7:
            self._sweep()
