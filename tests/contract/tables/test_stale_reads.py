"""Eventually consistent reads: whatever a late replica of DynamoDB shows, nothing wrong follows from it.

The relay is the worst replica there can be: it shows each item as it was before its last write, however long ago.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryQueue
from tests.support.stores.tables import NOW, new_task
from urlsum import tables
from urlsum.deadline import Deadline
from urlsum.errors import LimitReached, TaskNotFound
from urlsum.limits import accounts
from urlsum.limits.account import Account
from urlsum.limits.quota import Quota
from urlsum.settings import Settings
from urlsum.tables import Change
from urlsum.tables.dynamodb import DynamoRecords, DynamoTaskTable
from urlsum.task import Status, Task
from urlsum.worker.delivery import handle
from urlsum.worker.lease import LateClaims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stores.dynamodb import Relay

LATER = int(NOW) + 3600
CLIENT = "198.51.100.7"
SETTINGS = Settings(lease_seconds=90)
SIZE = 100


@pytest.fixture
def replica(relay: Relay, dynamodb_table_name: str) -> Iterator[str]:
    """The name of a table whose eventually consistent reads are one write late."""
    relay.lags = True
    yield dynamodb_table_name
    relay.lags = False
    relay.before.clear()


@pytest.fixture
def records(replica: str) -> DynamoRecords:
    return DynamoRecords(replica)


@pytest.fixture
def table(replica: str) -> DynamoTaskTable:
    return DynamoTaskTable(replica)


def test_only_an_eventually_consistent_read_may_be_late(records: DynamoRecords, table: DynamoTaskTable) -> None:
    first = records.write("a", "1", over=None, expires_at=LATER)
    assert (records.read("a"), records.read("a", consistent=False)) == (first, None)
    second = records.write("a", "2", over=first, expires_at=LATER)
    assert (records.read("a"), records.read("a", consistent=False)) == (second, first)
    task = new_task()
    table.add(task)
    assert table.get(task.id) == task
    with pytest.raises(TaskNotFound):
        table.get(task.id, consistent=False)


def test_a_change_whose_read_was_late_is_decided_again(records: DynamoRecords) -> None:
    seen: list[str | None] = []

    def count(value: str | None) -> tuple[Change, int]:
        seen.append(value)
        new = int(value or 0) + 1
        return Change(str(new), LATER), new

    counted = [tables.change(records, "count", count, now=NOW, consistent=False) for _ in range(3)]
    assert counted == [1, 2, 3]
    assert seen == [None, None, "1", "1", "2"]  # without a write before, nothing is late


@pytest.mark.parametrize("refuses", [False, True])
def test_a_decision_that_no_write_confirms_is_taken_from_a_consistent_read(
    records: DynamoRecords, *, refuses: bool
) -> None:
    records.write("a", "full", over=None, expires_at=LATER)
    stored = records.read("a")
    records.write("a", "free", over=stored, expires_at=LATER)

    def decide(value: str | None) -> tuple[Change | None, str | None]:
        if value == "full" and refuses:
            raise LimitReached("day", "full", quota=1, seconds=1)
        return (None if value == "full" else Change("taken", LATER)), value

    assert tables.change(records, "a", decide, now=NOW, consistent=False) == "free"
    taken = records.read("a")
    assert taken is not None
    assert taken.value == "taken"


def submission(number: int) -> Task:
    return new_task(client=CLIENT, created_at=NOW + number, due_at=NOW + number)


def test_a_client_has_exactly_its_quota_of_submissions(records: DynamoRecords) -> None:
    quota = Quota(minute=5)
    for number in range(5):
        left = accounts.charge(submission(number), quota, records, now=NOW + number, ttl_days=30)
        assert [allowance.remaining for allowance in left] == [4 - number]
    with pytest.raises(LimitReached):
        accounts.charge(submission(6), quota, records, now=NOW + 6, ttl_days=30)


def test_a_client_whose_task_has_just_ended_is_not_refused_for_it(records: DynamoRecords) -> None:
    quota, first = Quota(unfinished=1), submission(0)
    accounts.charge(first, quota, records, now=NOW, ttl_days=30)
    accounts.settle(first, records, now=NOW + 1, ttl_days=30)
    accounts.charge(submission(2), quota, records, now=NOW + 2, ttl_days=30)
    stored = records.read(f"client:{CLIENT}")
    assert stored is not None
    account = Account.load(stored.value)
    assert (account.day, sum(account.unfinished.values())) == (2, 1)


class Worker:
    """A worker that gets messages for the first time, and its task of a small file."""

    def __init__(self, table: DynamoTaskTable, records: DynamoRecords) -> None:
        self.clock, self.table, self.queue = Clock(), table, MemoryQueue()
        self.source = SyntheticSource(b"x" * SIZE, self.clock, seconds=0.1)
        self.deps: Any = Deps(SETTINGS, table, self.source, self.clock, self.clock, records=records, queue=self.queue)
        now = self.clock()
        self.task = new_task(created_at=now, updated_at=now, due_at=now, expires_at=2**40)
        table.add(self.task)

    def handle(self) -> Task | None:
        deadline = Deadline.after(1000, clock=self.clock)
        return handle(self.task.id, self.deps, deadline=deadline, late=LateClaims())

    def save(self, task: Task) -> None:
        self.table.save(task, over=self.table.get(task.id))


@pytest.fixture
def worker(table: DynamoTaskTable, records: DynamoRecords) -> Worker:
    return Worker(table, records)


def test_a_task_that_is_not_found_yet_is_not_dropped(worker: Worker, relay: Relay) -> None:
    relay.requests.clear()
    done = worker.handle()
    assert done is not None
    assert (done.status, done.md5) == (Status.DONE, worker.source.md5)
    assert [request.get("ConsistentRead") for request in relay.requests] == [False, True, None]


def test_a_task_that_is_found_as_it_was_submitted_costs_half_a_read_and_one_write(worker: Worker, relay: Relay) -> None:
    relay.before.clear()
    relay.requests.clear()
    done = worker.handle()
    assert worker.table.get(worker.task.id) == done
    assert [request.get("ConsistentRead") for request in relay.requests] == [False, None, True]


def test_a_task_that_was_cancelled_a_moment_ago_stays_so(worker: Worker) -> None:
    worker.save(worker.task.cancelled(worker.clock()))
    assert worker.handle() is None
    assert worker.table.get(worker.task.id).status is Status.CANCELLED


def test_a_task_that_another_worker_has_just_claimed_is_left_to_it(worker: Worker) -> None:
    claimed = worker.task.claimed(worker.clock(), 90.0)
    worker.save(claimed)
    assert worker.handle() is None
    assert worker.table.get(worker.task.id) == claimed
    assert worker.queue.sent == []


@pytest.mark.parametrize("how", ["adopted", "handed over"])
def test_the_message_of_a_task_that_looks_new_and_is_not_is_not_dropped(worker: Worker, how: str) -> None:
    """Its sender wrote the row just before the message, and nobody else would send another one."""
    if how == "adopted":
        worker.save(replace(worker.task, fence=1))  # as a second request with its Idempotency-Key does
    else:
        now = worker.clock()
        worker.save(worker.task.claimed(now, 90.0).put_off(now, delay=0.0))
    done = worker.handle()
    assert done is not None
    assert (done.status, done.fence) == (Status.DONE, 2)
    assert worker.table.get(worker.task.id) == done


def test_the_message_of_a_task_that_must_wait_comes_again_in_time(worker: Worker) -> None:
    now = worker.clock()
    worker.save(worker.task.claimed(now, 90.0).put_off(now, delay=30.0))
    assert worker.handle() is None
    [(task_id, delay)] = worker.queue.sent
    assert (task_id, 29 < delay <= 30) == (worker.task.id, True)
