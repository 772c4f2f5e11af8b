"""A claim that is written with the first write that the task needs anyway."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryTaskTable
from urlsum.deadline import Deadline
from urlsum.errors import LeaseHeld, LeaseLost, NothingToDo, TableUnavailable
from urlsum.settings import Settings
from urlsum.task import Status, Task
from urlsum.worker import reuse
from urlsum.worker.lease import LATE_SHARE, LateClaims
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "0e4fac17-0000-4000-8000-000000000000"
SETTINGS = Settings(lease_seconds=90)


class Setup:
    """A new task of a small file, which takes ``seconds``, and every write to its row."""

    def __init__(self, seconds: float = 0.1, content: bytes = b"x" * 100) -> None:
        self.clock, self.table, self.claims = Clock(), MemoryTaskTable(), LateClaims()
        self.source = SyntheticSource(content, self.clock, piece=max(len(content) // 2, 1), seconds=seconds)
        self.deps = Deps(SETTINGS, self.table, self.source, self.clock, self.clock)
        now = self.clock()
        self.table.add(
            Task(id=ID, url="https://o.example/f", created_at=now, updated_at=now, due_at=now, expires_at=2_000_000)
        )
        self.writes: list[Task] = []
        save = self.table.save

        def recorded(task: Task, *, over: Task, lease_before: float | None = None) -> None:
            save(task, over=over, lease_before=lease_before)
            self.writes.append(task)

        self.table.save = recorded  # type: ignore[method-assign]

    @property
    def stored(self) -> Task:
        return self.table.get(ID)

    def slice(self, *, late: bool = True) -> Task:
        deadline = Deadline.after(1000, clock=self.clock)
        return run_slice(ID, self.deps, deadline=deadline, late=self.claims if late else None)

    def during(self, act: Callable[[], object]) -> None:
        """Call ``act`` once, before the second half of the file."""

        def fault(offset: int) -> None:
            if offset:
                self.source.fault = lambda _offset: None
                act()

        self.source.fault = fault


def test_a_file_that_ends_within_a_second_is_written_once() -> None:
    setup = Setup()
    done = setup.slice()
    assert setup.writes == [done] == [setup.stored]
    assert (done.status, done.md5, done.fence, done.slices) == (Status.DONE, setup.source.md5, 1, 1)


def test_what_takes_longer_is_claimed_by_its_first_checkpoint() -> None:
    setup = Setup(seconds=1.0, content=b"x" * 1000)
    setup.slice()
    first, last = setup.writes[0], setup.writes[-1]
    assert (first.status, first.fence, first.lease_until > setup.clock()) == (Status.RUNNING, 1, True)
    assert first.checkpoint is not None
    assert last.status is Status.DONE


def test_a_failure_is_claim_and_retry_in_one_write() -> None:
    setup = Setup()

    def bug(offset: int) -> None:
        raise ZeroDivisionError

    setup.source.fault = bug
    after = setup.slice()
    assert setup.writes == [after]
    assert (after.status, after.fence, after.attempts) == (Status.QUEUED, 1, 1)


def test_a_slice_that_lasts_is_claimed_by_whoever_watches() -> None:
    setup = Setup()
    seen: list[Task] = []

    def watch() -> None:
        setup.claims.write()
        setup.claims.write()  # not twice
        seen.append(setup.stored)
        with pytest.raises(LeaseHeld):
            setup.slice(late=False)

    setup.during(watch)
    done = setup.slice()
    assert [(task.status, task.fence) for task in seen] == [(Status.RUNNING, 1)]
    assert [task.status for task in setup.writes] == [Status.RUNNING, Status.DONE]
    assert setup.stored == done
    setup.claims.write()
    assert setup.stored == done  # what has ended is not claimed again


def test_of_two_workers_that_read_the_same_new_task_one_writes() -> None:
    setup = Setup()
    results: list[Task] = []
    setup.during(lambda: results.append(setup.slice()))
    with pytest.raises(NothingToDo):
        setup.slice()
    assert setup.writes == results == [setup.stored]


def test_a_worker_whose_late_claim_was_refused_never_writes_under_the_fence_of_the_other() -> None:
    setup = Setup()
    before = setup.stored
    other = replace(before.claimed(setup.clock(), 90.0), received=7)

    def taken_over() -> None:
        setup.table.save(other, over=before)
        setup.claims.write()  # refused; the other's fence is what this claim would have

    setup.during(taken_over)
    with pytest.raises(LeaseHeld):
        setup.slice()
    assert setup.stored == other


def test_a_task_that_is_cancelled_before_its_claim_stays_so() -> None:
    setup = Setup()

    def cancel() -> None:
        stored = setup.stored
        setup.table.save(stored.cancelled(setup.clock()), over=stored)

    setup.during(cancel)
    with pytest.raises(NothingToDo):
        setup.slice()
    assert setup.stored.status is Status.CANCELLED


def test_a_worker_that_loses_the_lease_after_its_claim_does_not_claim_it_again() -> None:
    setup = Setup()

    def taken_over() -> None:
        setup.claims.write()
        setup.clock.now += 91.0
        held = setup.stored
        setup.table.save(held.claimed(setup.clock(), 90.0).released(setup.clock()), over=held)

    setup.during(taken_over)
    with pytest.raises(LeaseLost):
        setup.slice()
    assert (setup.stored.status, setup.stored.fence) == (Status.RUNNING, 2)


def test_a_new_task_that_was_put_back_before_its_claim_is_claimed_once_more() -> None:
    setup = Setup()

    def put_back() -> None:
        before = setup.stored
        setup.table.save(before.claimed(setup.clock(), 90.0).put_off(setup.clock(), delay=0.0), over=before)

    setup.during(put_back)
    done = setup.slice()
    assert (done.status, done.fence) == (Status.DONE, 2)
    assert [task.status for task in setup.writes] == [Status.QUEUED, Status.RUNNING, Status.DONE]


def test_an_outage_while_the_claim_is_written_leaves_it_to_the_next_write() -> None:
    setup = Setup()
    save = setup.table.save

    def away(task: Task, *, over: Task, lease_before: float | None = None) -> None:
        raise TableUnavailable("away")

    def outage() -> None:
        setup.table.save = away  # type: ignore[method-assign]
        setup.claims.write()
        setup.table.save = save  # type: ignore[method-assign]

    setup.during(outage)
    assert setup.slice() == setup.stored
    assert setup.stored.status is Status.DONE


def test_a_killed_worker_leaves_the_row_as_it_was() -> None:
    class Killed(BaseException):
        pass

    setup = Setup()
    before = setup.stored

    def kill(offset: int) -> None:
        raise Killed

    setup.source.fault = kill
    with pytest.raises(Killed):
        setup.slice()
    assert setup.stored == before
    setup.claims.write()
    assert setup.stored == before


@pytest.mark.parametrize("known", [False, True])
def test_a_large_file_is_claimed_before_others_could_wait_for_its_reading(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(content=b"x" * (reuse.SMALL_BYTES + 1))
    url = setup.stored.url
    # What this process remembers, which no other test shall see.
    monkeypatch.setattr(reuse, "_last_seen", {url: setup.source.identity(url)} if known else {})
    announced = reuse.announced

    def claimed_first(*args: object, **options: object) -> object:
        assert setup.stored.status is Status.RUNNING
        return announced(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(reuse, "announced", claimed_first)
    assert setup.slice().status is Status.DONE
    assert [task.status for task in setup.writes] == [Status.RUNNING, Status.DONE]


@pytest.mark.parametrize("case", ["swept", "had a slice", "about to be swept"])
def test_only_a_new_task_is_claimed_late(case: str) -> None:
    setup = Setup()
    stored = setup.stored
    match case:
        case "swept":
            setup.table.save(stored.resent(setup.clock()), over=stored)
        case "had a slice":
            setup.table.save(stored.claimed(setup.clock(), 90.0).put_off(setup.clock(), delay=0.0), over=stored)
        case _:
            setup.clock.now += LATE_SHARE * SETTINGS.lease_seconds
    setup.writes.clear()
    setup.slice()
    assert [task.status for task in setup.writes] == [Status.RUNNING, Status.DONE]


def test_a_task_is_claimed_late_until_half_of_the_time_of_a_sweep() -> None:
    setup = Setup()
    setup.clock.now += LATE_SHARE * SETTINGS.lease_seconds - 1
    setup.slice()
    assert [task.status for task in setup.writes] == [Status.DONE]


def test_a_claim_that_is_being_written_by_another_thread_is_waited_for() -> None:
    setup = Setup()
    begun, go_on = threading.Event(), threading.Event()
    save = setup.table.save

    def slow(task: Task, *, over: Task, lease_before: float | None = None) -> None:
        if task.status is Status.RUNNING:
            begun.set()
            assert go_on.wait(10)
        save(task, over=over, lease_before=lease_before)

    setup.table.save = slow  # type: ignore[method-assign]
    watcher = threading.Thread(target=setup.claims.write)

    def race() -> None:
        watcher.start()
        assert begun.wait(10)
        threading.Timer(0.05, go_on.set).start()

    setup.during(race)
    setup.slice()
    watcher.join(10)
    assert [task.status for task in setup.writes] == [Status.RUNNING, Status.DONE]
