"""What the server does beside its routes when RQ's workers do the work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from selfhost.rq_maintenance import RqMaintenance
from tests.support.stores.memory import MemoryQueue
from urlsum.errors import QueueUnavailable
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.task import Task
    from urlsum.wiring import Services


class WorkerSetup(Protocol):
    def services(self) -> Services: ...
    def add(self) -> Task: ...


class MaintainedQueue(MemoryQueue):
    """Counts how often it was maintained, and may be away."""

    rounds = 0
    admissions = 0

    def requeue_due_and_abandoned(self) -> None:
        self.rounds += 1
        if self.down:
            raise QueueUnavailable("Redis: no answer")

    def admit_for_idle(self) -> None:
        self.admissions += 1


@pytest.fixture
def queue() -> MaintainedQueue:
    return MaintainedQueue()


@pytest.fixture
def maintenance(setup: WorkerSetup, queue: MaintainedQueue) -> Iterator[RqMaintenance]:
    services = replace(setup.services(), queue=queue, settings=Settings(sweep_seconds=0.05))
    thread = RqMaintenance(services, queue, requeue_seconds=0.01)  # type: ignore[arg-type] # its one method more is all that is called
    yield thread
    thread.stop()


def wait_for_rounds(queue: MaintainedQueue, times: int) -> None:
    limit, until = time.monotonic() + 10, queue.rounds + times
    while queue.rounds < until:
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_stranded_task_is_sent_again_once(
    setup: WorkerSetup, maintenance: RqMaintenance, queue: MaintainedQueue
) -> None:
    task = setup.add()
    setup.clock.now += 1000  # type: ignore[attr-defined] # of the fixture
    maintenance.start()
    wait_for_rounds(queue, 20)
    assert [task_id for task_id, _ in queue.sent] == [task.id]


def test_more_stranded_tasks_than_one_sweep_takes_do_not_wait_for_the_next_interval(
    setup: WorkerSetup, queue: MaintainedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfhost.rq_maintenance.SWEEP_LIMIT", 2)
    tasks = {setup.add().id for _ in range(5)}
    setup.clock.now += 1000  # type: ignore[attr-defined] # of the fixture
    services = replace(setup.services(), queue=queue, settings=Settings(sweep_seconds=3600))
    thread = RqMaintenance(services, queue, requeue_seconds=0.01)  # type: ignore[arg-type] # as above
    thread.start()
    wait_for_rounds(queue, 10)
    thread.stop()
    assert {task_id for task_id, _ in queue.sent} == tasks


def test_an_outage_is_told_once_and_then_the_work_goes_on(
    maintenance: RqMaintenance, queue: MaintainedQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    queue.down = True
    maintenance.start()
    wait_for_rounds(queue, 10)
    queue.down = False
    wait_for_rounds(queue, 10)
    queue.down = True
    wait_for_rounds(queue, 10)
    said = [message.partition(":")[0] for message in caplog.messages if "Redis" in message or "queue" in message]
    # The second outage began within ten seconds of the first line.
    assert said == ["Redis", "the queue works again"]


def test_it_ends_when_it_is_asked_to(maintenance: RqMaintenance, queue: MaintainedQueue) -> None:
    maintenance.start()
    wait_for_rounds(queue, 2)
    maintenance.ask_to_stop()
    maintenance._thread.join(5)
    assert not maintenance._thread.is_alive()
