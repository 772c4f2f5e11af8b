"""What every TaskTable does, whatever keeps the tasks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.tables import NOW, full_task, new_task
from urlsum.errors import FailureCode, LeaseLost, TaskExists, TaskNotFound
from urlsum.tables import Overdue
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Checkpoint, Failure, Mail, Representation, Status, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.tables import TaskTable

LEASE = 90.0
# Sums and quotients that decimals cannot write exactly, and the extremes of a time and of a rate.
AWKWARD = (0.1 + 0.2, NOW / 3, 1e-9, 5e12 + 1 / 3, 0.0)


def test_a_new_task_comes_back_as_it_was(table: TaskTable) -> None:
    task = new_task()
    table.add(task)
    assert table.get(task.id) == task


def test_every_field_comes_back_with_its_type(table: TaskTable) -> None:
    task = full_task()
    assert all(getattr(task, field.name) not in (None, 0) for field in fields(Task))  # nothing is left out of this test
    table.add(task)
    got = table.get(task.id)
    assert got == task
    assert repr(got) == repr(task)  # 1.0 == 1, but not here


def test_floats_come_back_exactly(table: TaskTable) -> None:
    for number in AWKWARD:
        task = full_task(created_at=number, updated_at=number, lease_until=number, rate=number, finished_at=number)
        table.add(task)
        assert repr(table.get(task.id)) == repr(task)


def test_a_url_of_eight_kilobytes_with_any_characters_comes_back(table: TaskTable) -> None:
    url = "https://example.org/%F0%9F%98%80/é世界\U0001f600?q='\"\\%00;--&x=\t"
    task = new_task(url=url + "a" * (8192 - len(url.encode())))
    table.add(task)
    assert table.get(task.id).url == task.url


@pytest.mark.parametrize(
    "known",
    [
        Representation(name="a", final_url="https://example.org/a"),
        Representation(
            name="\U0001f600" * 63, final_url="https://example.org/?" + "%F0" * 2700, etag='"' + "é" * 198 + '"'
        ),
        Representation(name="a\n'\"\\", final_url="https://h/", last_modified=0.0, notes=("web-page", "transformed")),
    ],
)
def test_what_the_origin_said_of_the_file_comes_back(table: TaskTable, known: Representation) -> None:
    task = new_task(representation=known)
    table.add(task)
    assert repr(table.get(task.id).representation) == repr(known)
    table.save(replace(task, representation=None), over=task)
    assert table.get(task.id).representation is None


def test_the_state_of_the_hash_is_kept_byte_by_byte(table: TaskTable) -> None:
    for state in (bytes(range(232, 256)), bytes(24), b"\x00'\\\xff\x80\xc3(" * 3):
        task = new_task(checkpoint=Checkpoint(64, state, ""))
        table.add(task)
        assert table.get(task.id).checkpoint == Checkpoint(64, state, "")


def test_every_failure_can_be_stored(table: TaskTable) -> None:
    for code in FailureCode:
        task = new_task(status=Status.FAILED, error=Failure(code, ""))
        table.add(task)
        assert table.get(task.id).error == Failure(code, "")


def test_an_id_can_be_added_once(table: TaskTable) -> None:
    task = new_task(email="first@example.org")
    table.add(task)
    with pytest.raises(TaskExists):
        table.add(task)
    with pytest.raises(TaskExists):
        table.add(replace(task, email="second@example.org"))
    assert table.get(task.id) == task


def test_an_id_is_found_exactly_or_not_at_all(table: TaskTable) -> None:
    task = new_task(id="0e4fac17-aaaa-4bbb-8ccc-dddddddddddd")
    table.add(task)
    for other in (task.id.upper(), task.id + " ", task.id[:-1], "", "%", "é", "\U0001f600", "x" * 3000):
        with pytest.raises(TaskNotFound):
            table.get(other)


def test_a_save_replaces_every_field(table: TaskTable) -> None:
    old, new = new_task(), full_task()
    table.add(old)
    table.save(replace(new, id=old.id), over=old)
    assert table.get(old.id) == replace(new, id=old.id)


def test_a_save_clears_what_is_none(table: TaskTable) -> None:
    old = full_task()
    new = new_task(id=old.id, due_at=None)
    table.add(old)
    table.save(new, over=old)
    assert table.get(old.id) == new


def test_a_save_that_changes_nothing_is_no_lost_lease(table: TaskTable) -> None:
    task = full_task()
    table.add(task)
    table.save(task, over=task)
    assert table.get(task.id) == task


def test_a_save_over_another_fence_or_status_is_refused(table: TaskTable) -> None:
    stored = new_task(fence=5, status=Status.RUNNING)
    table.add(stored)
    for stale in (
        replace(stored, fence=4),
        replace(stored, fence=6),
        replace(stored, status=Status.QUEUED),
        replace(stored, status=Status.DONE),
    ):
        with pytest.raises(LeaseLost):
            table.save(replace(stored, md5="f" * 32), over=stale)
        assert table.get(stored.id) == stored


def test_a_save_over_nothing_is_refused_and_makes_nothing(table: TaskTable) -> None:
    task = new_task()
    with pytest.raises(LeaseLost):
        table.save(task, over=task)
    with pytest.raises(TaskNotFound):
        table.get(task.id)


def test_a_claim_needs_a_lease_that_ended_before(table: TaskTable) -> None:
    for lease_until, now, won in ((NOW, NOW - 0.001, False), (NOW, NOW, False), (NOW, NOW + 0.001, True)):
        stored = new_task(fence=1, lease_until=lease_until)
        taken = replace(stored, fence=2, lease_until=now + LEASE)
        table.add(stored)
        if won:
            table.save(taken, over=stored, lease_before=now)
        else:
            with pytest.raises(LeaseLost):
                table.save(taken, over=stored, lease_before=now)
        assert table.get(stored.id) == (taken if won else stored)


def test_a_whole_life_is_kept(table: TaskTable) -> None:
    task = new_task(mail=Mail.PENDING, email="someone@example.org")
    table.add(task)
    steps: tuple[Callable[[Task], Task], ...] = (
        lambda t: t.claimed(NOW, LEASE),
        lambda t: t.checkpointed(Checkpoint(64, bytes(24), "v"), size=128, rate=1.5, now=NOW + 1, lease_seconds=LEASE),
        lambda t: t.restarted(NOW + 2),
        lambda t: t.retried(Failure(FailureCode.CHANGED, "it changed"), NOW + 3, delay=5),
        lambda t: t.claimed(NOW + 9, LEASE),
        lambda t: t.done("f" * 32, 128, NOW + 10),
        lambda t: t.mailed(Mail.SENT, NOW + 11),
    )
    for step in steps:
        before, task = task, step(task)
        table.save(task, over=before)
        assert table.get(task.id) == task
    assert task.complete
    assert table.due(NOW + 10**6, 10) == []


def test_remove_takes_only_what_is_unchanged(table: TaskTable) -> None:
    stored = new_task(fence=3)
    table.add(stored)
    table.remove(replace(stored, fence=2))
    table.remove(replace(stored, status=Status.RUNNING))
    assert table.get(stored.id) == stored
    table.remove(stored)
    with pytest.raises(TaskNotFound):
        table.get(stored.id)
    table.remove(stored)  # gone already: nothing to do


def test_due_tells_the_longest_waiting_first_up_to_the_moment(table: TaskTable) -> None:
    waiting = [new_task(due_at=NOW + seconds) for seconds in range(20)]
    for task in reversed(waiting):
        table.add(task)
    table.add(new_task(due_at=None))
    ids = [task.id for task in waiting]
    assert table.due(NOW + 100, 100) == ids
    assert table.due(NOW + 9, 100) == ids[:10]  # not after: the moment itself is included
    assert table.due(NOW + 8.999, 100) == ids[:9]
    assert table.due(NOW + 100, 3) == ids[:3]
    assert table.due(NOW - 1, 100) == []
    assert table.due(NOW + 100, 0) == []


def test_due_tells_first_slices_and_continuations_apart(table: TaskTable) -> None:
    tasks = [new_task(due_at=NOW + n, continued=n % 2 == 1) for n in range(8)]
    for task in tasks:
        table.add(task)
    ids = [task.id for task in tasks]
    assert table.due(NOW + 5, 100, continued=False) == ids[0:6:2]
    assert table.due(NOW + 5, 100, continued=True) == ids[1:6:2]
    assert table.due(NOW + 5, 2, continued=True) == ids[1:5:2]
    table.save(replace(tasks[0], continued=True, due_at=NOW), over=tasks[0])
    assert table.due(NOW + 5, 100, continued=True) == [ids[0], *ids[1:6:2]]
    assert table.due(NOW + 5, 100, continued=False) == ids[2:6:2]
    assert table.due(NOW + 5, 100) == ids[:6]


def test_what_is_overdue_comes_with_what_a_sweep_must_know(table: TaskTable) -> None:
    waiting = [new_task(due_at=NOW + n, continued=n % 2 == 1) for n in range(130)]  # more than one batch, of 100
    for task in reversed(waiting):
        table.add(task)
    table.add(new_task(due_at=None))
    expected = [Overdue(task.id, NOW + n, 0.0, continued=n % 2 == 1) for n, task in enumerate(waiting)]
    assert list(table.overdue(NOW + 1000, 1000)) == expected
    assert list(table.overdue(NOW + 9, 1000)) == expected[:10]
    assert list(table.overdue(NOW + 1000, 120)) == expected[:120]
    assert list(table.overdue(NOW - 1, 1000)) == []


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_task_is_overdue_when_its_lease_is(table: TaskTable, checkpointed: bool) -> None:
    queued = new_task(due_at=NOW)
    table.add(queued)
    held = queued.claimed(NOW + 5, LEASE)
    table.save(held, over=queued)
    if checkpointed:
        held, before = held.renewed(NOW + 6, lease_seconds=LEASE), held
        table.save(held, over=before)
    assert list(table.overdue(held.lease_until - 0.1, 10)) == []
    lapsed = Overdue(queued.id, held.lease_until, held.lease_until, continued=checkpointed)
    assert list(table.overdue(held.lease_until, 10)) == [lapsed]


def test_due_forgets_a_task_that_is_owed_nothing_and_follows_one_that_moves(table: TaskTable) -> None:
    first, second = new_task(due_at=NOW), new_task(due_at=NOW + 1)
    table.add(first)
    table.add(second)
    moved = replace(first, due_at=NOW + 2)
    table.save(moved, over=first)
    assert table.due(NOW + 5, 10) == [second.id, first.id]
    table.save(replace(moved, due_at=None), over=moved)
    assert table.due(NOW + 5, 10) == [second.id]
    table.remove(second)
    assert table.due(NOW + 5, 10) == []


def test_purge_deletes_what_has_expired_up_to_its_limit_or_leaves_it_to_the_store(table: TaskTable) -> None:
    now = int(NOW)
    expired = [new_task(expires_at=now - age) for age in (0, 1, 2)]
    kept = new_task(expires_at=now + 1)
    for task in (*expired, kept):
        table.add(task)
    if isinstance(table, SqlTaskTable):
        assert table.purge(now, 2) == 2  # the two oldest
        assert table.get(expired[0].id) == expired[0]
        assert table.purge(now, 2) == 1
        with pytest.raises(TaskNotFound):
            table.get(expired[0].id)
    assert table.purge(now, 2) == 0
    assert table.get(kept.id) == kept


@pytest.mark.timeout(60)
def test_of_racing_claims_exactly_one_wins(table: TaskTable) -> None:
    # moto takes a hundredth of a second for each request, and serves one at a time: more rounds meet nothing new.
    rounds, workers = 50 if isinstance(table, SqlTaskTable) else 10, 4
    start = threading.Barrier(workers)

    def claim(task: Task) -> int | None:
        taken = replace(task.claimed(NOW, LEASE), rate=float(threading.get_ident()))
        start.wait()
        try:
            table.save(taken, over=task, lease_before=NOW)
        except LeaseLost:
            return None
        return threading.get_ident()

    with ThreadPoolExecutor(workers) as pool:
        for _ in range(rounds):
            task = new_task()
            table.add(task)
            winners = [won for won in pool.map(claim, [task] * workers) if won is not None]
            assert len(winners) == 1
            assert table.get(task.id).rate == float(winners[0])


def test_a_claim_and_a_result_may_be_one_write_and_shut_out_whoever_read_the_task_before(table: TaskTable) -> None:
    task = new_task(due_at=NOW)
    table.add(task)
    claimed = task.claimed(NOW + 1, LEASE)
    done = claimed.done("0" * 32, 1, NOW + 2)
    table.save(done, over=task, lease_before=NOW + 2)
    assert table.get(task.id) == done
    assert table.due(NOW + 2 * LEASE, 10) == []
    for late in (claimed, task.claimed(NOW + 3, LEASE).done("1" * 32, 1, NOW + 4)):
        with pytest.raises(LeaseLost):
            table.save(late, over=task, lease_before=NOW + 4)
    assert table.get(task.id) == done


@pytest.mark.timeout(60)
def test_of_racing_adds_exactly_one_wins(table: TaskTable) -> None:
    workers = 4
    start = threading.Barrier(workers)

    def add(task: Task) -> bool:
        start.wait()
        try:
            table.add(task)
        except TaskExists:
            return False
        return True

    with ThreadPoolExecutor(workers) as pool:
        for _ in range(20):
            task = new_task()
            assert sum(pool.map(add, [task] * workers)) == 1
            assert table.get(task.id) == task


def test_tasks_with_work_left_are_counted_up_to_a_bound(table: TaskTable) -> None:
    assert table.unfinished(10) == 0
    pending = [new_task() for _ in range(7)]
    for task in [*pending, new_task(due_at=None)]:
        table.add(task)
    assert [table.unfinished(limit) for limit in (1, 6, 7, 8, 1000)] == [1, 6, 7, 7, 7]
    table.save(replace(pending[0], due_at=None), over=pending[0])
    assert table.unfinished(10) == 6


def test_a_removal_says_whether_it_took_place(table: TaskTable) -> None:
    task = new_task()
    table.add(task)
    table.save(replace(task, fence=1), over=task)
    assert table.remove(task) is False
    assert table.remove(replace(task, fence=1)) is True
    assert table.remove(replace(task, fence=1)) is False
