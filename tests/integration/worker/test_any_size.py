"""A file of five terabytes, over as many invocations as it takes."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from tests.support.aws.deployment import deploy
from tests.support.aws.fake_lambda import MOST_HOPS, FakeLambda
from tests.support.aws.template import create_queue, create_table
from tests.support.origin.scaled import ScaledMD5, ScaledSource
from tests.support.origin.synthetic import Clock
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable, secret
from tests.support.stores.tables import new_task
from urlsum.errors import Incomplete
from urlsum.origin.guard.guard import Guard
from urlsum.queues.sqs import SqsQueue
from urlsum.settings import Settings
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.task import Status, Task
from urlsum.wiring import Services
from urlsum.worker import slice as slice_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.queues import TaskQueue
    from urlsum.tables import TaskTable

pytestmark = pytest.mark.slow

FIVE_TB = 5 * 10**12 // 2**20 * 2**20
SETTINGS = Settings()


@pytest.fixture(autouse=True)
def _scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_module, "MD5", ScaledMD5)


def wired(table: TaskTable, queue: TaskQueue, source: Any, clock: Clock) -> Services:
    return Services(
        SETTINGS, table, MemoryRecords(), secret, queue, MemoryMailer(), Guard(SETTINGS), source, clock, clock
    )


def submitted(services: Services) -> Task:
    now = services.clock()
    task = new_task(created_at=now, updated_at=now, due_at=now, expires_at=2**40)
    services.table.add(task)
    services.queue.send(task.id)
    return task


def test_hundreds_of_slices_end_right_in_flat_memory() -> None:
    clock = Clock()
    source = ScaledSource(FIVE_TB, clock, rate=50e6)
    chance = random.Random(5)

    def fault(offset: int) -> None:
        if chance.random() < 0.01:
            raise Incomplete(f"cut at {offset}")

    source.fault = fault
    services = wired(MemoryTaskTable(), MemoryQueue(), source, clock)
    task = submitted(services)
    runner = FakeLambda(services, "Allow")
    peaks = []
    tracemalloc.start()
    try:
        while not services.table.get(task.id).complete:
            tracemalloc.reset_peak()
            [delivery] = services.queue.receive(10, wait=0)
            runner._invoke([delivery])
            clock.now += 30  # the back-off after a cut
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    done = services.table.get(task.id)
    assert (done.status, done.md5, done.size) == (Status.DONE, source.md5, FIVE_TB)
    assert len(source.opened) == done.slices > 400
    assert sorted(source.opened) == source.opened
    assert max(peaks[-100:]) < max(peaks[:100]) + 200_000


def test_progress_is_told_on_the_way() -> None:
    clock = Clock()
    services = wired(MemoryTaskTable(), MemoryQueue(), ScaledSource(FIVE_TB, clock, rate=100e6), clock)
    task = submitted(services)
    runner = FakeLambda(services, "Allow")
    offsets = []
    for _ in range(20):
        [delivery] = services.queue.receive(10, wait=0)
        runner._invoke([delivery])
        stored = services.table.get(task.id)
        offsets.append(stored.offset)
        assert stored.size == FIVE_TB
        assert stored.rate == pytest.approx(100e6, rel=0.01)
    assert offsets == sorted(set(offsets))


@pytest.fixture
def aws() -> Iterator[tuple[TaskTable, TaskQueue]]:
    with mock_aws():
        yield (
            DynamoTaskTable(create_table(boto3.client("dynamodb"))),
            SqsQueue(create_queue(boto3.client("sqs"))),
        )


@pytest.mark.parametrize("loop", [None, "Terminate"], ids=["as deployed", "Terminate"])
def test_through_sqs_under_the_rule_of_sixteen_hops(aws: tuple[TaskTable, TaskQueue], loop: str | None) -> None:
    recursive_loop: str = loop or deploy()["HashWorkerFunction"]["RecursiveLoop"]
    clock = Clock()
    # A checkpoint after each piece, which takes 69 s of a lease of 90: moto needs 30 ms for one, and 77 are enough.
    source = ScaledSource(FIVE_TB, clock, rate=1e9, piece=65_536)
    services = wired(*aws, source, clock)
    task = submitted(services)
    runner = FakeLambda(services, recursive_loop)
    runner.run()
    stored = services.table.get(task.id)
    if recursive_loop == "Allow":
        assert (stored.status, stored.md5, stored.size) == (Status.DONE, source.md5, FIVE_TB)
        assert runner.invocations == stored.slices > MOST_HOPS
        assert runner.stopped == []
    else:
        assert stored.status is Status.RUNNING
        assert runner.stopped == [task.id]
