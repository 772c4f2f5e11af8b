"""The sweep beside a long queue that can only count its messages, as SQS does, in simulated time."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import NOW, new_task
from urlsum.queues import HeldCount, decode
from urlsum.queues.sqs import RESEND_SECONDS
from urlsum.settings import Settings
from urlsum.worker import lease
from urlsum.worker.sweep import Swept, sweep

if TYPE_CHECKING:
    from urlsum.task import Task

pytestmark = pytest.mark.slow

SETTINGS = Settings(sweep_seconds=300)  # as template.yaml schedules it
LEASE, INTERVAL = SETTINGS.lease_seconds, SETTINGS.sweep_seconds
WAITING = 20_000
HOUR = 3600
# A run on Lambda: its time-out of 285 s less the function's margin of 70 s.
RUN_SECONDS = 215.0
# What one request takes there, and the look at one overdue task: 0.1 ms of CPU, of which a function of 1024 MB has 0.6,
# and a hundredth of a BatchGetItem.
REQUEST_SECONDS = 0.01
LOOK_SECONDS = 0.0005


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)  # pytest keeps each of 100,000 lines


class Cloud:
    """A table, a queue that counts, workers and the sweeper, on one clock."""

    def __init__(self, *, undercount: float = 0.0) -> None:
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.now = NOW
        self._undercount = undercount
        self._fraction = 0.0
        self.queue.held = self._held  # type: ignore[method-assign] # a queue that counts

    def _held(self) -> HeldCount:
        messages = int(self.queue.waiting * (1 - self._undercount))
        return HeldCount(messages, share=INTERVAL / RESEND_SECONDS, fraction=self._next_fraction)

    def _next_fraction(self) -> float:
        self._fraction = (self._fraction + 0.618) % 1  # evenly spread
        return self._fraction

    def submit(self, count: int, *, lost: bool = False) -> list[Task]:
        """Tasks that wait from now on."""
        tasks = [new_task(created_at=self.now, updated_at=self.now, due_at=self.now) for _ in range(count)]
        for task in tasks:
            self.table.add(task)
            if not lost:
                self.queue.send(task.id)
        return tasks

    def work(self, count: int) -> None:
        """Finish the tasks of so many messages."""
        for delivery in self.queue.receive(count, wait=0):
            task_id = decode(delivery.body)
            if task_id in self.table.tasks and self.table.tasks[task_id].due_at is not None:
                claimed = lease.claim(task_id, self.table, now=self.now, lease_seconds=LEASE)
                self.table.save(claimed.done("0" * 32, 7, self.now), over=claimed)
            self.queue.delete(delivery)

    def sweep(self) -> Swept:
        """One run, which stops when its time is over."""
        sent, looks = len(self.queue.sent), 0

        def stop() -> bool:
            nonlocal looks
            looks += 1
            seconds = looks * LOOK_SECONDS + (len(self.queue.sent) - sent) * 3 * REQUEST_SECONDS
            return seconds >= RUN_SECONDS

        return sweep(self.table, self.queue, now=self.now, settings=SETTINGS, stop=stop)

    @property
    def sent(self) -> list[str]:
        return [task_id for task_id, _ in self.queue.sent]


@pytest.mark.parametrize("burst", [True, False])
def test_behind_20000_that_wait_a_stranded_one_is_sent_within_8_minutes_and_few_others_are(burst: bool) -> None:
    cloud = Cloud()
    for _ in range(20):
        cloud.submit(WAITING // 20)
        cloud.now += 0 if burst else 60
    victim = new_task(created_at=cloud.now, updated_at=cloud.now, due_at=cloud.now)
    # Its first run just misses the stranded task.
    cloud.table.add(replace(victim.claimed(cloud.now, LEASE), continued=True))
    lapsed = cloud.now + LEASE
    submitted = len(cloud.sent)
    cloud.now = lapsed + LEASE - 1
    began, found = cloud.now, None
    while cloud.now < began + HOUR:
        cloud.sweep()
        if found is None and victim.id in cloud.sent:
            found = cloud.now
        cloud.now += INTERVAL
    assert found is not None
    assert found + RUN_SECONDS / 10 <= lapsed + 8 * 60
    extra = len(cloud.sent) - submitted - 1
    assert 0.7 * WAITING / 20 <= extra <= WAITING / 20


def test_a_queue_that_shrinks_by_work_gets_few_messages_without_need() -> None:
    waiting = 4000
    cloud = Cloud(undercount=0.02)
    cloud.submit(waiting)
    submitted = len(cloud.sent)
    for _ in range(int(HOUR / INTERVAL)):
        cloud.now += INTERVAL
        cloud.work(waiting // 24)
        cloud.sweep()
    # What the wrong count adds is bounded by its error, however often it is taken.
    assert len(cloud.sent) - submitted <= waiting * (1 / 20 + 0.02)
    assert cloud.queue.waiting <= 0.6 * waiting


def test_a_lost_message_among_others_is_sent_again_soon_after_the_queue_has_passed_it() -> None:
    cloud = Cloud()
    cloud.submit(1000)
    cloud.now += 1
    [victim] = cloud.submit(1, lost=True)
    cloud.now += 1
    passed = None
    for _ in range(int(6 * HOUR / INTERVAL)):  # a queue that is never empty
        cloud.submit(500)
        cloud.now += INTERVAL
        cloud.work(500)
        if passed is None and all(task.due_at is None for task in cloud.table.tasks.values() if task.due_at == NOW):
            passed = cloud.now
        cloud.sweep()
        if victim.id in cloud.sent:
            break
    assert passed is not None
    assert cloud.now <= passed + HOUR


@pytest.mark.parametrize("lost", ["workers", "messages", "messages while others come"])
@pytest.mark.parametrize(("count", "seconds"), [(6000, 1800), pytest.param(100_000, 7200, marks=pytest.mark.long)])
def test_100000_stranded_are_rescued_within_two_hours(lost: str, count: int, seconds: float) -> None:
    cloud = Cloud()
    tasks = cloud.submit(count, lost=True)
    if lost == "workers":
        for task in tasks:
            cloud.table.save(task.claimed(cloud.now, LEASE), over=task)
    began = cloud.now
    cloud.now += 2 * LEASE - 1
    rescued: set[str] = set()
    while not rescued.issuperset(task.id for task in tasks):
        assert cloud.now <= began + seconds
        if lost.endswith("come"):
            cloud.submit(100)
        cloud.sweep()
        rescued.update(cloud.sent)
        cloud.now += INTERVAL
