"""Which answer after which failure is a promise: `submit` says that nothing was accepted only where that stays true."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryRecords, MemoryTaskTable, secret
from urlsum import service
from urlsum.errors import QueueUnavailable, TableUnavailable, TaskExists, TaskNotFound, Unavailable
from urlsum.limits.limiter import Limiter
from urlsum.origin.guard.guard import Guard
from urlsum.service import TAKE_BACK_WITHIN_SECONDS, Submission
from urlsum.settings import Settings
from urlsum.task import Status, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_000_000.0


class FaultyTable(MemoryTaskTable):
    """Loses the reply to the next insert: after it was applied, before, or it is applied when ``land`` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.next_add = ""
        self.late: list[Task] = []
        self.after: Callable[[Task], None] = lambda task: None

    def add(self, task: Task) -> None:
        fault, self.next_add = self.next_add, ""
        if fault == "late":
            self.late.append(task)
        elif fault != "lost":
            super().add(task)
        if fault:
            self.after(task)
            raise TableUnavailable("no reply", in_doubt=True)

    def land(self) -> None:
        for task in self.late:
            try:
                super().add(task)
            except TaskExists:
                continue


class Setup:
    def __init__(self) -> None:
        self.table = FaultyTable()
        self.queue = MemoryQueue()
        self.records = MemoryRecords()
        self.limiter = Limiter(Settings(), self.table, self.records)
        self.times: Iterator[float] = repeat(0.0)

    def submit(self, **fields: Any) -> str:
        return service.submit(
            Submission(url="https://example.org/f", **fields),
            table=self.table,
            queue=self.queue,
            guard=Guard(Settings()),
            secret=secret,
            now=NOW,
            ttl_days=30,
            admission=self.limiter.admission(),
            monotonic=lambda: next(self.times),
        )

    def failed(self, **fields: Any) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            self.submit(**fields)
        return caught.value

    @property
    def accepted(self) -> list[Task]:
        """The tasks that a worker would find."""
        return [self.table.get(task_id) for task_id in self.table.due(NOW + 10**6, 10)]


@pytest.fixture
def setup() -> Setup:
    return Setup()


@pytest.mark.parametrize("fault", ["applied", "lost", "late"])
def test_an_insert_without_a_reply_is_taken_back_whatever_became_of_it(setup: Setup, fault: str) -> None:
    setup.table.next_add = fault
    assert not setup.failed(email="a@abc.ru", client="192.0.2.1").in_doubt
    setup.table.land()
    assert setup.accepted == []
    [row] = setup.table.tasks.values()
    assert (row.status, row.email) == (Status.CANCELLED, None)
    assert setup.table.purge(NOW + service.TAKEN_BACK_SECONDS + 1, 10) == 1
    assert setup.queue.sent == []


def test_a_task_that_is_taken_back_is_not_one_of_its_clients_unfinished_ones(setup: Setup) -> None:
    setup.limiter = Limiter(Settings(client_unfinished=1), setup.table, setup.records)
    for _ in range(3):
        setup.table.next_add = "applied"
        assert not setup.failed(client="192.0.2.1").in_doubt
    assert setup.submit(client="192.0.2.1")


def test_a_worker_that_was_faster_loses_the_task(setup: Setup) -> None:
    """On SQLite and MySQL a worker may poll the row before it is taken back."""

    def claim(task: Task) -> None:
        setup.table.after = lambda task: None
        setup.table.save(task.claimed(NOW, 90.0), over=task)

    setup.table.after = claim
    setup.table.next_add = "applied"
    assert not setup.failed().in_doubt
    [row] = setup.table.tasks.values()
    assert row.status is Status.CANCELLED


def test_a_task_that_was_done_by_then_is_in_doubt(setup: Setup) -> None:
    def finish(task: Task) -> None:
        claimed = task.claimed(NOW, 90.0)
        setup.table.save(claimed, over=task)
        setup.table.save(claimed.done("0" * 32, 7, NOW), over=claimed)

    setup.table.after = finish
    setup.table.next_add = "applied"
    assert setup.failed().in_doubt


def test_a_store_that_stays_away_leaves_the_insert_in_doubt(setup: Setup) -> None:
    def down(task: Task) -> None:
        setup.table.down = True

    setup.table.after = down
    setup.table.next_add = "applied"
    assert setup.failed().in_doubt


def test_an_insert_that_took_long_leaves_no_time_to_take_it_back(setup: Setup) -> None:
    setup.times = iter([0.0, TAKE_BACK_WITHIN_SECONDS + 1])
    setup.table.next_add = "applied"
    assert setup.failed().in_doubt
    assert len(setup.accepted) == 1


@pytest.mark.parametrize("fault", ["applied", "lost"])
def test_with_a_key_the_same_request_again_makes_one_task(setup: Setup, fault: str) -> None:
    setup.table.next_add = fault
    assert setup.failed(idempotency_key="k").in_doubt
    task_id = setup.submit(idempotency_key="k")
    assert [task.id for task in setup.accepted] == [task_id]
    assert [sent for sent, _ in setup.queue.sent] == [task_id]


def test_what_fails_before_the_insert_has_accepted_nothing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object, **__: object) -> None:
        raise TableUnavailable("no reply", in_doubt=True)

    monkeypatch.setattr(setup.records, "write", lose)
    assert not setup.failed(client="192.0.2.1").in_doubt
    assert setup.table.tasks == {}


class TakingQueue(MemoryQueue):
    """Takes a message although its sender learns nothing of it; ``worker`` may get it at once."""

    def __init__(self, worker: Callable[[str], None]) -> None:
        super().__init__()
        self.worker = worker

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        super().send(task_id, delay=delay, continued=continued)
        self.worker(task_id)
        raise QueueUnavailable("no reply")


def test_a_message_of_a_task_that_was_removed_wakes_a_worker_for_nothing(setup: Setup) -> None:
    setup.queue = TakingQueue(lambda task_id: None)
    assert not setup.failed().in_doubt
    assert setup.accepted == []
    with pytest.raises(TaskNotFound):
        setup.table.get(setup.queue.sent[0][0])


def test_a_message_that_a_worker_has_is_in_doubt(setup: Setup) -> None:
    def claim(task_id: str) -> None:
        task = setup.table.get(task_id)
        setup.table.save(task.claimed(NOW, 90.0), over=task)

    setup.queue = TakingQueue(claim)
    assert setup.failed().in_doubt
    assert len(setup.accepted) == 1


def test_a_task_that_cannot_be_removed_is_in_doubt(setup: Setup) -> None:
    def down(task_id: str) -> None:
        setup.table.down = True

    setup.queue = TakingQueue(down)
    error = setup.failed()
    assert isinstance(error, QueueUnavailable)
    assert error.in_doubt


def test_a_second_sender_whom_the_queue_refuses_may_have_a_task(setup: Setup) -> None:
    setup.submit(idempotency_key="k")
    setup.queue.down = True
    assert setup.failed(idempotency_key="k").in_doubt
    assert len(setup.accepted) == 1


def test_a_cancellation_is_in_doubt_when_its_write_is(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = setup.submit()

    def lose(*_: object, **__: object) -> None:
        raise TableUnavailable("no reply", in_doubt=True)

    monkeypatch.setattr(setup.table, "save", lose)
    with pytest.raises(TableUnavailable) as caught:
        service.cancel(task_id, table=setup.table, now=NOW)
    assert caught.value.in_doubt
