from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import NOW, new_task
from urlsum.errors import FailureCode, LeaseLost, QueueUnavailable, TableUnavailable
from urlsum.queues.table import TableQueue
from urlsum.settings import Settings
from urlsum.tables import Overdue
from urlsum.task import Checkpoint, Failure, Mail, Status, Task
from urlsum.worker import lease
from urlsum.worker.sweep import LIMIT, Swept, sweep

SETTINGS = Settings(max_attempts=5)
LEASE = SETTINGS.lease_seconds


class SweepSetup:
    """A table and a queue to sweep, with a simulated clock."""

    def __init__(self) -> None:
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.now = NOW

    def add(self, task: Task) -> Task:
        self.table.add(task)
        return task

    def index_has(self, *tasks: Task) -> None:
        """Let the index lag: it still has these tasks, whatever became of them."""
        entries = [Overdue(task.id, NOW, 0.0, continued=False) for task in tasks]
        self.table.due = lambda before, limit, *, continued=None: [task.id for task in tasks]  # type: ignore[method-assign]
        self.table.overdue = lambda before, limit: entries  # type: ignore[method-assign]

    def sweep(self, limit: int = LIMIT) -> Swept:
        return sweep(self.table, self.queue, now=self.now, settings=SETTINGS, limit=limit)

    @property
    def sent(self) -> list[str]:
        return [task_id for task_id, _ in self.queue.sent]


@pytest.fixture
def setup() -> SweepSetup:
    return SweepSetup()


def test_a_task_that_nobody_picked_up_is_sent_again_and_can_be_taken_at_once(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.now += LEASE
    assert setup.sweep() == Swept(resent=1)
    assert setup.queue.sent == [(task.id, 0.0)]
    taken = setup.table.get(task.id).claimed(setup.now, LEASE)
    assert (taken.status, taken.fence, taken.attempts) == (Status.RUNNING, 2, 1)


def test_a_task_whose_worker_died_is_sent_again_with_its_checkpoint_and_its_attempts(setup: SweepSetup) -> None:
    point = Checkpoint(640, b"s", "v")
    running = new_task().claimed(NOW, LEASE)
    setup.add(replace(running.checkpointed(point, size=9, rate=1, now=NOW, lease_seconds=LEASE), attempts=3))
    setup.now += 2 * LEASE
    setup.sweep()
    stored = setup.table.get(running.id)
    assert setup.sent == [running.id]
    assert (stored.status, stored.checkpoint, stored.attempts) == (Status.QUEUED, point, 3)


def test_the_holder_of_the_lapsed_lease_is_shut_out(setup: SweepSetup) -> None:
    running = setup.add(new_task().claimed(NOW, LEASE))
    setup.now += 2 * LEASE
    setup.sweep()
    with pytest.raises(LeaseLost):
        setup.table.save(running.done("0" * 32, 7, setup.now), over=running)


def test_a_lease_that_is_renewed_while_the_sweep_looks_stays_with_its_holder(setup: SweepSetup) -> None:
    running = setup.add(new_task().claimed(NOW, LEASE))
    setup.now += 2 * LEASE
    get = setup.table.get
    renewed = running.renewed(setup.now, lease_seconds=LEASE)

    def read(task_id: str, *, consistent: bool = True) -> Task:
        found = get(task_id)
        setup.table.save(renewed, over=found)
        return found

    setup.table.get = read  # type: ignore[method-assign]
    assert setup.sweep() == Swept()
    assert setup.sent == []
    assert get(running.id) == renewed


def test_a_finished_task_that_owes_a_mail_is_sent_again_and_stays_finished(setup: SweepSetup) -> None:
    running = new_task(email="a@abc.ru", mail=Mail.PENDING).claimed(NOW, LEASE)
    done = setup.add(running.done("0" * 32, 7, NOW))
    setup.now += 2 * LEASE
    assert setup.sweep() == Swept(resent=1)
    stored = setup.table.get(done.id)
    assert (stored.status, stored.md5, stored.mail) == (Status.DONE, "0" * 32, Mail.PENDING)
    assert stored.claimed(setup.now, LEASE).mail is Mail.PENDING


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
def test_what_is_not_stranded_is_left_alone(setup: SweepSetup, task: Task) -> None:
    setup.add(task)
    setup.now += LEASE
    assert setup.sweep() == Swept()
    assert setup.table.get(task.id) == task


def test_one_task_that_needs_nothing_does_not_end_the_sweep(setup: SweepSetup) -> None:
    held, gone, stranded = new_task().claimed(NOW + 10 * LEASE, LEASE), new_task(), new_task(due_at=NOW + 1)
    setup.add(held)
    setup.add(stranded)
    setup.now += 3 * LEASE
    setup.index_has(held, gone, stranded)
    assert setup.sweep() == Swept(resent=1)
    assert setup.sent == [stranded.id]


def test_a_queue_that_reads_the_table_is_told_of_ends_alone(setup: SweepSetup) -> None:
    setup.queue.reads_table = True
    waiting = setup.add(new_task())
    spent = setup.add(replace(new_task().claimed(NOW + 1, LEASE), attempts=SETTINGS.max_attempts))
    setup.now += 3 * LEASE
    assert setup.sweep() == Swept(failed=1)
    assert setup.table.get(waiting.id) == waiting
    assert setup.table.get(spent.id).status is Status.FAILED
    assert setup.sent == []


@pytest.mark.parametrize(
    "task",
    [
        new_task(due_at=NOW + 1),
        new_task(due_at=None),
        replace(new_task(), lease_until=NOW + 1),
    ],
    ids=["put off", "settled", "held"],
)
def test_an_index_that_lags_behind_the_table_strands_nothing(setup: SweepSetup, task: Task) -> None:
    setup.add(task)
    setup.now += LEASE
    setup.index_has(task)
    assert setup.sweep() == Swept()
    assert setup.table.get(task.id) == task


def test_a_lease_is_given_as_long_again_before_its_worker_counts_as_dead(setup: SweepSetup) -> None:
    setup.add(new_task().claimed(NOW, LEASE))
    setup.now += 2 * LEASE - 1
    assert setup.sweep() == Swept()
    setup.now += 1
    assert setup.sweep() == Swept(resent=1)


def test_a_second_sweep_sends_nothing(setup: SweepSetup) -> None:
    setup.add(new_task())
    setup.now += LEASE
    setup.sweep()
    assert setup.sweep() == Swept()
    assert len(setup.sent) == 1


def test_of_two_sweeps_at_once_one_sends(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.now += LEASE
    get = setup.table.get

    def other_sweep_comes_between(task_id: str, *, consistent: bool = True) -> Task:
        setup.table.get = get  # type: ignore[method-assign]
        task = get(task_id)
        assert setup.sweep() == Swept(resent=1)
        return task

    setup.table.get = other_sweep_comes_between  # type: ignore[method-assign]
    assert setup.sweep() == Swept()
    assert setup.sent == [task.id]


def test_a_worker_that_checkpoints_in_between_keeps_its_task(setup: SweepSetup) -> None:
    running = setup.add(new_task().claimed(NOW, LEASE))
    setup.now += 2 * LEASE
    get = setup.table.get

    def late_checkpoint(task_id: str, *, consistent: bool = True) -> Task:
        task = get(task_id)
        point = Checkpoint(64, b"s", "v")
        late = running.checkpointed(point, size=9, rate=1, now=setup.now, lease_seconds=LEASE)
        setup.table.save(late, over=running)
        return task

    setup.table.get = late_checkpoint  # type: ignore[method-assign]
    assert setup.sweep() == Swept()
    assert get(running.id).fence == running.fence
    assert setup.sent == []


def test_a_task_whose_message_waits_in_a_long_queue_gets_no_other(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.queue.send(task.id)
    for _ in range(24 * 12):
        setup.now += 300
        assert setup.sweep() == Swept()
    assert setup.table.get(task.id) == task


def test_a_message_that_is_lost_again_and_again_is_sent_again_within_a_lease_each_time(setup: SweepSetup) -> None:
    setup.add(new_task())
    for lost in range(100):
        setup.now += LEASE
        assert setup.sweep() == Swept(resent=1), lost
        setup.queue.forget()


def test_attempts_that_are_spent_end_the_task_with_the_reason(setup: SweepSetup) -> None:
    dead = setup.add(replace(new_task().claimed(NOW, LEASE), attempts=5))
    setup.now += 2 * LEASE
    assert setup.sweep() == Swept(failed=1)
    stored = setup.table.get(dead.id)
    assert (stored.status, stored.due_at, stored.finished_at) == (Status.FAILED, None, setup.now)
    assert stored.error == Failure(FailureCode.INTERNAL, "workers stopped 5 times without making progress")
    assert setup.sent == []


def test_attempts_that_are_spent_tell_the_last_failure_if_there_was_one(setup: SweepSetup) -> None:
    failure = Failure(FailureCode.TIMEOUT, "silent for 30 s")
    dead = setup.add(replace(new_task().claimed(NOW, LEASE), attempts=5, error=failure))
    setup.now += 2 * LEASE
    setup.sweep()
    assert setup.table.get(dead.id).error == failure


def test_a_task_that_is_given_up_owes_its_mail_to_whoever_comes_next(setup: SweepSetup) -> None:
    dead = setup.add(replace(new_task(email="a@abc.ru", mail=Mail.PENDING).claimed(NOW, LEASE), attempts=5))
    setup.now += 2 * LEASE
    assert setup.sweep() == Swept(failed=1, resent=1)
    assert setup.sent == [dead.id]
    taken = setup.table.get(dead.id).claimed(setup.now, LEASE)
    assert (taken.status, taken.mail) == (Status.FAILED, Mail.PENDING)


def test_a_finished_task_is_not_failed_for_the_tries_of_its_mail(setup: SweepSetup) -> None:
    done = new_task(mail=Mail.PENDING).claimed(NOW, LEASE).done("0" * 32, 7, NOW)
    setup.add(replace(done, attempts=20))
    setup.now += 2 * LEASE
    assert setup.sweep() == Swept(resent=1)
    assert setup.table.get(done.id).status is Status.DONE


def test_where_the_table_is_the_queue_a_backlog_keeps_its_order_and_the_spent_are_failed(setup: SweepSetup) -> None:
    waiting = setup.add(new_task())
    dead = setup.add(replace(new_task().claimed(NOW, LEASE), attempts=5))
    setup.now += 2 * LEASE
    swept = sweep(setup.table, TableQueue(setup.table), now=setup.now, settings=SETTINGS)
    assert swept == Swept(failed=1)
    assert setup.table.get(waiting.id) == waiting
    assert setup.table.get(dead.id).status is Status.FAILED


def test_the_work_of_one_run_is_bounded_and_begins_with_the_longest_waiting(setup: SweepSetup) -> None:
    waiting = [setup.add(new_task(due_at=NOW + n)) for n in range(5)]
    setup.now += 2 * LEASE
    assert setup.sweep(limit=3) == Swept(resent=3)
    assert setup.sent == [task.id for task in waiting[:3]]
    setup.sweep(limit=3)
    assert setup.sent == [task.id for task in waiting]


def test_a_run_stops_when_it_is_told_to(setup: SweepSetup) -> None:
    for _ in range(3):
        setup.add(new_task())
    setup.now += LEASE
    # At each of the three in the index, at the first that is sent, and at the second; then nothing is deleted either.
    answers = iter([*[False] * 4, True, True])
    assert sweep(setup.table, setup.queue, now=setup.now, settings=SETTINGS, stop=lambda: next(answers)).resent == 1


def test_expired_tasks_are_deleted_in_batches_until_none_is_left(setup: SweepSetup) -> None:
    for _ in range(3):
        setup.add(new_task(due_at=None, expires_at=int(NOW) - 1))
    kept = setup.add(new_task(due_at=None, expires_at=int(NOW) + 1))
    assert setup.sweep(limit=2) == Swept(purged=3)  # in two batches
    assert set(setup.table.tasks) == {kept.id}


def test_a_queue_that_is_down_stops_the_run_and_a_later_one_sends(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.now += LEASE
    setup.queue.down = True
    with pytest.raises(QueueUnavailable):
        setup.sweep()
    setup.queue.down = False
    assert setup.sweep() == Swept(resent=1)
    assert setup.sent == [task.id]


class DownAtSend(MemoryQueue):
    """Says what it holds, and then breaks down."""

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        self.down = True
        super().send(task_id, delay=delay, continued=continued)


def test_a_send_that_fails_puts_the_row_back_for_the_next_sweep(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.now += 3600
    setup.queue, working = DownAtSend(), setup.queue
    with pytest.raises(QueueUnavailable):
        setup.sweep()
    assert setup.table.get(task.id) == replace(task, fence=task.fence + 1)
    setup.queue = working
    setup.now += 1
    assert setup.sweep() == Swept(resent=1)


def test_a_worker_that_claims_before_the_row_is_put_back_keeps_its_task(setup: SweepSetup) -> None:
    task = setup.add(new_task())
    setup.now += 3600
    claimed: list[Task] = []

    class Claiming(DownAtSend):
        def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
            claimed.append(lease.claim(task_id, setup.table, now=setup.now, lease_seconds=LEASE))
            super().send(task_id, delay=delay, continued=continued)

    setup.queue = Claiming()
    with pytest.raises(QueueUnavailable):
        setup.sweep()
    assert [setup.table.get(task.id)] == claimed


@pytest.mark.parametrize("outage", [150, 3600, 86_400])
def test_after_an_outage_of_the_queue_every_task_is_sent_within_two_leases_and_the_interval(
    setup: SweepSetup, outage: float
) -> None:
    """Redis lost its data; tasks began to wait before the outage, while it lasted, and just before its end."""
    interval = SETTINGS.sweep_seconds
    waiting = {setup.add(new_task(due_at=NOW + outage * share / 10)).id for share in range(11)}
    died = setup.add(new_task().claimed(NOW + outage, LEASE))
    setup.queue.down, returns = True, NOW + outage
    while setup.now <= returns + 2 * LEASE + interval:
        setup.queue.down = setup.now < returns
        with suppress(QueueUnavailable):
            setup.sweep()
        setup.now += interval
    assert sorted(setup.sent) == sorted(waiting | {died.id})


def test_a_table_that_is_down_is_told(setup: SweepSetup) -> None:
    setup.table.down = True
    with pytest.raises(TableUnavailable):
        setup.sweep()


def test_a_stranded_task_that_is_too_old_is_failed(setup: SweepSetup) -> None:
    hours = SETTINGS.max_task_hours
    old = setup.add(new_task(created_at=NOW - hours * 3600, due_at=NOW - 1000))
    young = setup.add(new_task(created_at=NOW - hours * 3600 + 10, due_at=NOW - 1000))
    assert setup.sweep() == Swept(resent=1, failed=1)
    assert setup.table.get(old.id).error == Failure(
        FailureCode.TIMEOUT, f"not finished within {hours} hours of the submission"
    )
    assert setup.table.get(young.id).status is Status.QUEUED
