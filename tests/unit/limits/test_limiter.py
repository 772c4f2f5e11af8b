from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.api_keys import ApiKey, ApiKeys
from urlsum.errors import LimitReached, Overloaded, TableUnavailable
from urlsum.limits import limiter as limiter_module
from urlsum.limits.account import Account
from urlsum.limits.accounts import Settlements
from urlsum.limits.backlog import COUNT_SECONDS, NEAR_SECONDS, Backlog
from urlsum.limits.limiter import Limiter
from urlsum.limits.quota import DAY, Quota, quota_of, reached
from urlsum.settings import Settings

if TYPE_CHECKING:
    from urlsum.tables import Record
    from urlsum.task import Task

NOW = 1_728_000_000.0


class CountingRecords(MemoryRecords):
    """Counts the operations."""

    reads = 0
    writes = 0

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        self.reads += 1
        return super().read(key, consistent=consistent)

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        self.writes += 1
        return super().write(key, value, over=over, expires_at=expires_at, durable=durable)


class CountingTable(MemoryTaskTable):
    """Counts how often its unfinished tasks are counted, and runs ``meanwhile`` then."""

    counts = 0

    def unfinished(self, limit: int) -> int:
        self.counts += 1
        return super().unfinished(limit)


def task(client: str | None = "198.51.100.7", *, now: float = NOW, fresh: bool = False) -> Task:
    return new_task(client=client, created_at=now, due_at=now, fresh=fresh)


class Setup:
    def __init__(self, **settings: object) -> None:
        self.records = CountingRecords()
        self.table = CountingTable()
        self.limiter = Limiter(Settings(**settings), self.table, self.records)  # type: ignore[arg-type] # by name

    def refused(self, submission: Task) -> LimitReached:
        with pytest.raises(LimitReached) as caught:
            self.limiter.admit(submission)
        return caught.value


def test_a_submission_costs_a_read_and_a_write_and_a_first_refusal_a_second_read() -> None:
    setup = Setup(client_submits_per_minute=1)
    setup.limiter.admit(task())
    assert (setup.records.reads, setup.records.writes) == (1, 1)
    assert setup.refused(task()).seconds == 60
    assert (setup.records.reads, setup.records.writes) == (3, 1)  # only a consistent read refuses


def test_a_client_that_is_known_to_be_over_its_limit_costs_nothing() -> None:
    setup = Setup(client_submits_per_minute=1)
    setup.limiter.admit(task())
    setup.refused(task(now=NOW + 1))
    reads = setup.records.reads
    assert setup.refused(task(now=NOW + 18)).seconds == 42
    with pytest.raises(LimitReached):
        setup.limiter.recall("198.51.100.7", NOW + 59)
    assert setup.records.reads == reads
    setup.limiter.recall("198.51.100.8", NOW + 18)
    setup.limiter.recall(None, NOW + 18)
    assert setup.limiter.admit(task(now=NOW + 60))


def test_too_many_unfinished_tasks_are_remembered_for_a_moment_only() -> None:
    setup = Setup(client_unfinished=1)
    first = task()
    setup.limiter.admit(first)
    assert setup.refused(task(now=NOW + 10)).limit == "unfinished"
    setup.limiter.settle(first, NOW + 10)
    # The answer says when to come back as if it came from the table.
    assert setup.refused(task(now=NOW + 10.5)).seconds == 30
    setup.limiter.admit(task(now=NOW + 11))


def test_a_refused_fresh_reading_keeps_nothing_else_out() -> None:
    setup = Setup(client_fresh_per_day=1)
    setup.limiter.admit(task(fresh=True))
    assert setup.refused(task(fresh=True)).limit == "fresh"
    setup.limiter.admit(task())


def test_the_memory_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "REMEMBERED", 2)
    setup = Setup(client_submits_per_minute=1)
    for client in ("a", "b", "c"):
        setup.limiter.admit(task(client))
        setup.refused(task(client))
    reads = setup.records.reads
    setup.refused(task("b"))
    setup.refused(task("c"))
    assert setup.records.reads == reads
    setup.refused(task("a"))  # forgotten, and refused by its account
    assert setup.records.reads == reads + 2


def test_a_client_without_limits_costs_nothing_and_is_never_refused() -> None:
    setup = Setup(client_submits_per_minute=1, max_unfinished=1)
    for _ in range(3):
        assert setup.limiter.admit(task(None)) == ()
        setup.table.add(task(None))
    assert (setup.records.reads, setup.table.counts) == (0, 0)
    setup.limiter.settle(task(None), NOW)
    assert setup.records.reads == 0


def test_without_any_limit_nothing_is_counted() -> None:
    off = dict.fromkeys(
        (
            "client_submits_per_minute",
            "client_submits_per_day",
            "client_unfinished",
            "client_bytes_per_day",
            "client_fresh_per_day",
            "max_unfinished",
        ),
        0,
    )
    setup = Setup(**off)
    assert setup.limiter.admit(task()) == ()
    setup.limiter.settle(task(), NOW)
    assert (setup.records.writes, setup.table.counts) == (0, 0)


def test_a_key_has_its_own_limits_and_the_others_are_those_of_all() -> None:
    keys = ApiKeys([ApiKey("lab", "0" * 64, (("minute", 2),))])
    setup = Setup(client_submits_per_minute=1, client_submits_per_day=7, api_keys=keys)
    left = {each.limit: each.quota for each in setup.limiter.admit(task("key:lab"))}
    assert (left["minute"], left["day"]) == (2, 7)
    setup.limiter.admit(task("key:lab"))
    assert setup.refused(task("key:lab")).quota == 2
    # A key that was revoked while its tasks are unfinished.
    setup.limiter.settle(task("key:gone"), NOW)


def test_one_client_does_not_use_up_what_another_one_has() -> None:
    setup = Setup(client_submits_per_minute=1)
    for client in ("198.51.100.7", "198.51.100.8", "2001:db8:0:1::/64", "key:lab"):
        setup.limiter.admit(task(client))


def test_an_account_that_cannot_be_written_at_the_end_of_a_task_does_not_disturb(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = Setup()
    setup.limiter.admit(task())
    setup.records.down = True
    setup.limiter.settle(task(), NOW)
    assert "not counted as ended" in caplog.text


def test_the_table_is_full_at_the_limit_and_a_process_counts_its_own() -> None:
    table = CountingTable()
    backlog = Backlog(table, 10)
    for _ in range(7):
        backlog.check(NOW)
        table.add(task())
        backlog.add()
    assert table.counts == 1
    for _ in range(3):
        backlog.check(NOW)
        backlog.add()
    with pytest.raises(Overloaded):
        backlog.check(NOW)


def test_it_counts_again_after_a_while_and_sooner_near_the_limit() -> None:
    table = CountingTable()
    backlog = Backlog(table, 10)
    backlog.check(NOW)
    for _ in range(8):  # by another process
        table.add(task())
    backlog.check(NOW + COUNT_SECONDS - 0.1)
    assert table.counts == 1
    backlog.check(NOW + COUNT_SECONDS)
    assert table.counts == 2
    for _ in range(2):
        table.add(task())
    backlog.check(NOW + COUNT_SECONDS + NEAR_SECONDS - 0.1)
    assert table.counts == 2
    with pytest.raises(Overloaded):
        backlog.check(NOW + COUNT_SECONDS + NEAR_SECONDS)
    table.tasks.clear()
    backlog.check(NOW + COUNT_SECONDS + 2 * NEAR_SECONDS)


def test_a_count_that_failed_is_made_by_the_next_submission() -> None:
    table = CountingTable()
    backlog = Backlog(table, 10)
    table.down = True
    with pytest.raises(TableUnavailable):
        backlog.check(NOW)
    table.down = False
    backlog.check(NOW)
    assert table.counts == 2


def test_what_is_added_during_a_count_is_kept() -> None:
    table = CountingTable()
    backlog = Backlog(table, 2)
    backlog.check(NOW)
    unfinished = table.unfinished

    def meanwhile(limit: int) -> int:
        count = unfinished(limit)
        backlog.add()
        backlog.add()
        return count

    table.unfinished = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Overloaded):
        backlog.check(NOW + COUNT_SECONDS)


def test_while_one_thread_counts_the_others_do_not_wait() -> None:
    table = CountingTable()
    backlog = Backlog(table, 10)
    backlog.check(NOW)
    begun, go_on = threading.Event(), threading.Event()

    def slow(limit: int) -> int:
        begun.set()
        assert go_on.wait(10)
        return 0

    table.unfinished = slow  # type: ignore[method-assign]
    thread = threading.Thread(target=backlog.check, args=(NOW + COUNT_SECONDS,))
    thread.start()
    assert begun.wait(10)
    backlog.check(NOW + COUNT_SECONDS)
    go_on.set()
    thread.join()


def test_the_admission_takes_back_what_was_not_stored() -> None:
    setup = Setup(client_unfinished=1)
    admission, submission = setup.limiter.admission(), task()
    admission.admit(submission)
    assert {each.limit: each.remaining for each in admission.allowances}["unfinished"] == 0
    admission.withdraw(submission)
    setup.limiter.admit(replace(submission, id="another"))


def test_what_ended_in_a_batch_costs_each_client_one_write_at_the_time_of_the_settlement() -> None:
    setup = Setup()
    submissions = [task("a"), task("a"), task("b"), task(None)]
    for submission in submissions:
        setup.limiter.admit(submission)
    written = setup.records.writes
    later = NOW + 2 * DAY
    settlements = Settlements(setup.records, clock=lambda: later, ttl_days=30)
    for submission in submissions:
        settlements.add(replace(submission, received=100))
    for _ in range(2):
        settlements.settle()
    assert setup.records.writes == written + 2
    accounts = {key: Account.load(record.value) for key, record in setup.records.records.items()}
    assert {key: (account.bytes, dict(account.unfinished)) for key, account in accounts.items()} == {
        "client:a": (200, {}),
        "client:b": (100, {}),
    }
    assert {account.day_from for account in accounts.values()} == {later}


def test_a_batch_keeps_what_is_unfinished_as_long_as_tasks_live() -> None:
    setup = Setup()
    for submission in (submissions := [task(), task(now=NOW + DAY)]):
        setup.limiter.admit(submission)
    settlements = Settlements(setup.records, clock=lambda: NOW + 20 * DAY, ttl_days=30)
    settlements.add(submissions[0])
    settlements.settle()
    [record] = setup.records.records.values()
    assert sum(Account.load(record.value).unfinished.values()) == 1
    assert record.expires_at == NOW + (1 + 30 + 2) * DAY


def test_each_limit_has_its_setting_and_a_key_replaces_those_that_it_has() -> None:
    settings = Settings(
        client_submits_per_minute=1,
        client_submits_per_day=2,
        client_unfinished=3,
        client_bytes_per_day=4,
        client_fresh_per_day=5,
        api_keys=ApiKeys([ApiKey("lab", "0" * 64, (("bytes", 6), ("fresh", 0)))]),
    )
    quota = Quota(minute=1, day=2, unfinished=3, bytes=4, fresh=5)
    assert quota_of("198.51.100.7", settings) == quota_of("lab", settings) == quota
    assert quota_of("key:lab", settings) == Quota(minute=1, day=2, unfinished=3, bytes=6, fresh=0)


@pytest.mark.parametrize(
    ("limit", "allowed", "again"),
    [
        ("minute", "7 URLs a minute", "in 3 minutes"),
        ("day", "7 URLs a day", "in 3 minutes"),
        ("unfinished", "7 URLs whose results are still to come", "when one of your tasks has ended"),
        ("bytes", "files of 7 B a day in all", "in 3 minutes"),
        ("fresh", "7 URLs a day with fresh=true", "without it, or in 3 minutes"),
    ],
)
def test_a_refusal_says_which_limit_is_reached_and_when_to_come_again(limit: str, allowed: str, again: str) -> None:
    refusal = reached(limit, 7, 120.5)
    assert str(refusal) == f"You may submit {allowed}, and this limit is reached. Submit this URL again {again}."
    assert (refusal.limit, refusal.quota, refusal.seconds) == (limit, 7, 121)
    assert reached(limit, 7, 0.0).seconds == 1


def test_what_was_admitted_counts_against_the_limit_of_all_before_the_table_has_it() -> None:
    setup = Setup(max_unfinished=2)
    setup.limiter.admit(task("a"))
    setup.limiter.admit(task("b"))
    with pytest.raises(Overloaded):
        setup.limiter.admit(task("c"))
