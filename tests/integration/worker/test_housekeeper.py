"""What the server does beside its routes when RQ's workers do the work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from selfhost.housekeeper import Housekeeper
from tests.support.memory import MemoryQueue
from urlsum.errors import QueueUnavailable
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.task import Task
    from urlsum.wiring import Services


class Bay(Protocol):
    def services(self) -> Services: ...
    def add(self) -> Task: ...


class TidyQueue(MemoryQueue):
    """Counts how often it was tidied, and may be away."""

    tidied = 0

    def tidy(self) -> None:
        self.tidied += 1
        if self.down:
            raise QueueUnavailable("Redis: no answer")


@pytest.fixture
def queue() -> TidyQueue:
    return TidyQueue()


@pytest.fixture
def keeper(bay: Bay, queue: TidyQueue) -> Iterator[Housekeeper]:
    services = replace(bay.services(), queue=queue, settings=Settings(sweep_seconds=0.05))
    made = Housekeeper(services, queue, tidy_seconds=0.01)  # type: ignore[arg-type] # tidy() is all that it needs beside
    yield made
    made.stop()


def tidied(queue: TidyQueue, times: int) -> None:
    limit, until = time.monotonic() + 10, queue.tidied + times
    while queue.tidied < until:
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_stranded_task_is_sent_again_once(bay: Bay, keeper: Housekeeper, queue: TidyQueue) -> None:
    task = bay.add()
    bay.clock.now += 1000  # type: ignore[attr-defined] # of the fixture
    keeper.start()
    tidied(queue, 20)
    assert [task_id for task_id, _ in queue.sent] == [task.id]


def test_an_outage_is_told_once_and_then_the_work_goes_on(
    keeper: Housekeeper, queue: TidyQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.down = True
    keeper.start()
    tidied(queue, 10)
    queue.down = False
    tidied(queue, 10)
    queue.down = True
    tidied(queue, 10)
    assert [message for message in caplog.messages if "no answer" in message] == ["queue: Redis: no answer"] * 2


def test_it_ends_when_it_is_asked_to(keeper: Housekeeper, queue: TidyQueue) -> None:
    keeper.start()
    tidied(queue, 2)
    keeper.ask_to_stop()
    keeper._thread.join(5)
    assert not keeper._thread.is_alive()
