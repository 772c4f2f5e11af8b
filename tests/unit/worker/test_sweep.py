from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import NOW, new_task
from urlsum.errors import FailureCode, LeaseLost, QueueUnavailable, TableUnavailable
from urlsum.queues.table import TableQueue
from urlsum.settings import Settings
from urlsum.task import Checkpoint, Failure, Mail, Status, Task
from urlsum.worker.sweep import LIMIT, Swept, sweep

SETTINGS = Settings(max_attempts=5)
LEASE = SETTINGS.lease_seconds


class Floor:
    """A table and a queue to sweep, by a clock that is told the time."""

    def __init__(self) -> None:
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.now = NOW

    def add(self, task: Task) -> Task:
        self.table.add(task)
        return task

    def sweep(self, limit: int = LIMIT) -> Swept:
        return sweep(self.table, self.queue, now=self.now, settings=SETTINGS, limit=limit)

    @property
    def sent(self) -> list[str]:
        return [task_id for task_id, _ in self.queue.sent]


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_a_task_that_nobody_picked_up_is_sent_again_and_can_be_taken_at_once(floor: Floor) -> None:
    task = floor.add(new_task())
    floor.now += LEASE
    assert floor.sweep() == Swept(resent=1)
    assert floor.queue.sent == [(task.id, 0.0)]
    taken = floor.table.get(task.id).claimed(floor.now, LEASE)
    assert (taken.status, taken.fence, taken.attempts) == (Status.RUNNING, 2, 1)


def test_a_task_whose_worker_died_is_sent_again_with_its_checkpoint_and_its_attempts(floor: Floor) -> None:
    point = Checkpoint(640, b"s", "v")
    running = new_task().claimed(NOW, LEASE)
    floor.add(replace(running.checkpointed(point, size=9, rate=1, now=NOW, lease_seconds=LEASE), attempts=3))
    floor.now += 2 * LEASE
    floor.sweep()
    stored = floor.table.get(running.id)
    assert floor.sent == [running.id]
    assert (stored.status, stored.checkpoint, stored.attempts) == (Status.QUEUED, point, 3)


def test_the_holder_of_the_lapsed_lease_is_shut_out(floor: Floor) -> None:
    running = floor.add(new_task().claimed(NOW, LEASE))
    floor.now += 2 * LEASE
    floor.sweep()
    with pytest.raises(LeaseLost):
        floor.table.save(running.done("0" * 32, 7, floor.now), over=running)


def test_a_lease_that_is_renewed_while_the_sweep_looks_stays_with_its_holder(floor: Floor) -> None:
    running = floor.add(new_task().claimed(NOW, LEASE))
    floor.now += 2 * LEASE
    get = floor.table.get
    renewed = running.renewed(floor.now, lease_seconds=LEASE)

    def read(task_id: str) -> Task:
        found = get(task_id)
        floor.table.save(renewed, over=found)
        return found

    floor.table.get = read  # type: ignore[method-assign]
    assert floor.sweep() == Swept()
    assert floor.sent == []
    assert get(running.id) == renewed


def test_a_finished_task_that_owes_a_mail_is_sent_again_and_stays_finished(floor: Floor) -> None:
    running = new_task(email="a@abc.ru", mail=Mail.PENDING).claimed(NOW, LEASE)
    done = floor.add(running.done("0" * 32, 7, NOW))
    floor.now += 2 * LEASE
    assert floor.sweep() == Swept(resent=1)
    stored = floor.table.get(done.id)
    assert (stored.status, stored.md5, stored.mail) == (Status.DONE, "0" * 32, Mail.PENDING)
    assert stored.claimed(floor.now, LEASE).mail is Mail.PENDING


@pytest.mark.parametrize(
    "task",
    [
        new_task(due_at=NOW + 1),
        new_task().claimed(NOW + 1, LEASE),
        new_task().claimed(NOW, LEASE).retried(Failure(FailureCode.TIMEOUT, "slow"), NOW, delay=LEASE + 1),
        new_task().claimed(NOW, LEASE).done("0" * 32, 7, NOW),
        new_task(mail=Mail.PENDING).claimed(NOW + 1, LEASE).done("0" * 32, 7, NOW + 1),
    ],
    ids=["young", "held", "backing off", "finished", "about to mail"],
)
def test_what_is_not_stranded_is_left_alone(floor: Floor, task: Task) -> None:
    floor.add(task)
    floor.now += LEASE
    assert floor.sweep() == Swept()
    assert floor.table.get(task.id) == task


def test_one_task_that_needs_nothing_does_not_end_the_sweep(floor: Floor) -> None:
    held, gone, stranded = new_task().claimed(NOW + 10 * LEASE, LEASE), new_task(), new_task(due_at=NOW + 1)
    floor.add(held)
    floor.add(stranded)
    floor.now += 3 * LEASE
    floor.table.due = lambda before, limit: [held.id, gone.id, stranded.id]  # type: ignore[method-assign]
    assert floor.sweep() == Swept(resent=1)
    assert floor.sent == [stranded.id]


def test_a_queue_that_reads_the_table_is_told_of_ends_alone(floor: Floor) -> None:
    floor.queue.reads_table = True
    waiting = floor.add(new_task())
    spent = floor.add(replace(new_task(due_at=NOW + 1), attempts=SETTINGS.max_attempts))
    floor.now += 3 * LEASE
    assert floor.sweep() == Swept(failed=1)
    assert floor.table.get(waiting.id) == waiting
    assert floor.table.get(spent.id).status is Status.FAILED
    assert floor.sent == []


@pytest.mark.parametrize(
    "task",
    [
        new_task(due_at=NOW + 1),
        new_task(due_at=None),
        replace(new_task(), lease_until=NOW + 1),
    ],
    ids=["put off", "settled", "held"],
)
def test_an_index_that_lags_behind_the_table_strands_nothing(floor: Floor, task: Task) -> None:
    floor.add(task)
    floor.now += LEASE
    floor.table.due = lambda before, limit: [task.id]  # type: ignore[method-assign]
    assert floor.sweep() == Swept()
    assert floor.table.get(task.id) == task


def test_a_lease_is_given_as_long_again_before_its_worker_counts_as_dead(floor: Floor) -> None:
    floor.add(new_task().claimed(NOW, LEASE))
    floor.now += 2 * LEASE - 1
    assert floor.sweep() == Swept()
    floor.now += 1
    assert floor.sweep() == Swept(resent=1)


def test_a_second_sweep_sends_nothing(floor: Floor) -> None:
    floor.add(new_task())
    floor.now += LEASE
    floor.sweep()
    assert floor.sweep() == Swept()
    assert len(floor.sent) == 1


def test_of_two_sweeps_at_once_one_sends(floor: Floor) -> None:
    task = floor.add(new_task())
    floor.now += LEASE
    get = floor.table.get

    def other_sweep_comes_between(task_id: str) -> Task:
        floor.table.get = get  # type: ignore[method-assign]
        task = get(task_id)
        assert floor.sweep() == Swept(resent=1)
        return task

    floor.table.get = other_sweep_comes_between  # type: ignore[method-assign]
    assert floor.sweep() == Swept()
    assert floor.sent == [task.id]


def test_a_worker_that_checkpoints_in_between_keeps_its_task(floor: Floor) -> None:
    running = floor.add(new_task().claimed(NOW, LEASE))
    floor.now += 2 * LEASE
    get = floor.table.get

    def late_checkpoint(task_id: str) -> Task:
        task = get(task_id)
        point = Checkpoint(64, b"s", "v")
        late = running.checkpointed(point, size=9, rate=1, now=floor.now, lease_seconds=LEASE)
        floor.table.save(late, over=running)
        return task

    floor.table.get = late_checkpoint  # type: ignore[method-assign]
    assert floor.sweep() == Swept()
    assert get(running.id).fence == running.fence
    assert floor.sent == []


def test_a_task_that_waits_in_a_long_queue_gets_few_messages(floor: Floor) -> None:
    floor.add(new_task())
    for _ in range(24 * 12):
        floor.now += 300
        floor.sweep()
    assert 5 <= len(floor.sent) <= 10


def test_attempts_that_are_spent_end_the_task_with_the_reason(floor: Floor) -> None:
    dead = floor.add(replace(new_task().claimed(NOW, LEASE), attempts=5))
    floor.now += 2 * LEASE
    assert floor.sweep() == Swept(failed=1)
    stored = floor.table.get(dead.id)
    assert (stored.status, stored.due_at, stored.finished_at) == (Status.FAILED, None, floor.now)
    assert stored.error == Failure(FailureCode.INTERNAL, "workers stopped 5 times without making progress")
    assert floor.sent == []


def test_attempts_that_are_spent_tell_the_last_failure_if_there_was_one(floor: Floor) -> None:
    failure = Failure(FailureCode.TIMEOUT, "silent for 30 s")
    dead = floor.add(replace(new_task().claimed(NOW, LEASE), attempts=5, error=failure))
    floor.now += 2 * LEASE
    floor.sweep()
    assert floor.table.get(dead.id).error == failure


def test_a_task_that_is_given_up_owes_its_mail_to_whoever_comes_next(floor: Floor) -> None:
    dead = floor.add(replace(new_task(email="a@abc.ru", mail=Mail.PENDING).claimed(NOW, LEASE), attempts=5))
    floor.now += 2 * LEASE
    assert floor.sweep() == Swept(failed=1, resent=1)
    assert floor.sent == [dead.id]
    taken = floor.table.get(dead.id).claimed(floor.now, LEASE)
    assert (taken.status, taken.mail) == (Status.FAILED, Mail.PENDING)


def test_a_finished_task_is_not_failed_for_the_tries_of_its_mail(floor: Floor) -> None:
    done = new_task(mail=Mail.PENDING).claimed(NOW, LEASE).done("0" * 32, 7, NOW)
    floor.add(replace(done, attempts=20))
    floor.now += 2 * LEASE
    assert floor.sweep() == Swept(resent=1)
    assert floor.table.get(done.id).status is Status.DONE


def test_where_the_table_is_the_queue_a_backlog_keeps_its_order_and_the_spent_are_failed(floor: Floor) -> None:
    waiting = floor.add(new_task())
    dead = floor.add(replace(new_task().claimed(NOW, LEASE), attempts=5))
    floor.now += 2 * LEASE
    swept = sweep(floor.table, TableQueue(floor.table), now=floor.now, settings=SETTINGS)
    assert swept == Swept(failed=1)
    assert floor.table.get(waiting.id) == waiting
    assert floor.table.get(dead.id).status is Status.FAILED


def test_the_work_of_one_run_is_bounded_and_begins_with_the_longest_waiting(floor: Floor) -> None:
    waiting = [floor.add(new_task(due_at=NOW + n)) for n in range(5)]
    floor.now += 2 * LEASE
    assert floor.sweep(limit=3) == Swept(resent=3)
    assert floor.sent == [task.id for task in waiting[:3]]
    floor.sweep(limit=3)
    assert floor.sent == [task.id for task in waiting]


def test_a_run_stops_when_it_is_told_to(floor: Floor) -> None:
    for _ in range(3):
        floor.add(new_task())
    floor.now += LEASE
    answers = iter([False, True])
    assert sweep(floor.table, floor.queue, now=floor.now, settings=SETTINGS, stop=lambda: next(answers)).resent == 1


def test_expired_tasks_are_deleted_within_the_bound(floor: Floor) -> None:
    for _ in range(3):
        floor.add(new_task(due_at=None, expires_at=int(NOW) - 1))
    kept = floor.add(new_task(due_at=None, expires_at=int(NOW) + 1))
    assert floor.sweep(limit=2) == Swept(purged=2)
    assert floor.sweep(limit=2) == Swept(purged=1)
    assert set(floor.table.tasks) == {kept.id}


def test_a_queue_that_is_down_stops_the_run_and_a_later_one_sends(floor: Floor) -> None:
    task = floor.add(new_task())
    floor.now += LEASE
    floor.queue.down = True
    with pytest.raises(QueueUnavailable):
        floor.sweep()
    floor.queue.down = False
    floor.now += 2 * LEASE
    assert floor.sweep() == Swept(resent=1)
    assert floor.sent == [task.id]


def test_a_table_that_is_down_is_told(floor: Floor) -> None:
    floor.table.down = True
    with pytest.raises(TableUnavailable):
        floor.sweep()
