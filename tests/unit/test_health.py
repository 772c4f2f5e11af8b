from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.errors import QueueUnavailable, TableUnavailable
from urlsum.health import KEPT_SECONDS, HealthCheck
from urlsum.health.watched import WatchedQueue, WatchedTable
from urlsum.outage import Outages

if TYPE_CHECKING:
    from urlsum.task import Task


class Stores:
    """A table and a queue, as the composition root gives them to a process."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        outages = Outages()
        self.watched = WatchedTable(self.table, outages.table)
        queue = WatchedQueue(self.queue, outages.queue)
        self.check = HealthCheck(self.watched, queue, outages, clock=lambda: self.now, monotonic=lambda: self.now)

    def faults(self) -> tuple[str, ...]:
        self.now += KEPT_SECONDS
        return self.check().faults


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_a_service_whose_stores_take_everything_is_healthy_and_leaves_nothing(stores: Stores) -> None:
    assert stores.faults() == ()
    assert stores.table.tasks == {}
    assert stores.queue.sent == []


def test_a_probe_is_read_and_written_and_deleted(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    get, add, remove = stores.table.get, stores.table.add, stores.table.remove

    def read(task_id: str, *, consistent: bool = True) -> Task:
        ids.append(task_id)
        return get(task_id, consistent=consistent)

    def insert(task: Task) -> None:
        ids.append(task.id)
        add(task)

    def delete(task: Task) -> bool:
        ids.append(task.id)
        return remove(task)

    for name, method in (("get", read), ("add", insert), ("remove", delete)):
        monkeypatch.setattr(stores.table, name, method)
    assert stores.faults() == ()
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_each_store_that_fails_is_named(stores: Stores) -> None:
    stores.table.read_only = True
    assert stores.faults() == ("the table does not accept writes",)
    stores.queue.down = True
    assert stores.faults() == ("the table does not accept writes", "the queue does not answer")
    stores.table.down = True
    assert stores.faults() == ("the table does not answer", "the queue does not answer")
    stores.table.read_only = stores.table.down = stores.queue.down = False
    assert stores.faults() == ()


def test_the_log_says_why_once(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    stores.queue.down = True
    for _ in range(5):
        stores.faults()
    assert caplog.messages == ["the queue does not answer"]


def test_a_queue_that_is_full_answers_and_takes_nothing(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise QueueUnavailable("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(stores.queue, "check_send", full)
        assert stores.faults() == ("the queue does not accept messages",)
    assert stores.faults() == ()


def test_a_call_of_others_that_failed_is_a_fault_until_the_next_look(stores: Stores) -> None:
    task = new_task()
    assert stores.faults() == ()
    stores.table.down = True
    with pytest.raises(TableUnavailable):
        stores.watched.get(task.id)
    stores.table.down = False
    assert stores.faults() == ()


def test_however_often_it_is_asked_the_stores_are_tried_now_and_then(stores: Stores) -> None:
    assert stores.faults() == ()
    stores.table.read_only = True
    assert stores.check().faults == ()
    assert stores.faults() != ()


def test_a_probe_that_cannot_be_deleted_is_no_task_for_anybody(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: object) -> bool:
        raise TableUnavailable("no deletion")

    monkeypatch.setattr(stores.table, "remove", refuse)
    assert stores.faults() == ("the table does not accept writes",)
    [left] = stores.table.tasks.values()
    assert (left.complete, left.due_at) == (True, None)
    assert stores.table.purge(stores.now + 61, 10) == 1
