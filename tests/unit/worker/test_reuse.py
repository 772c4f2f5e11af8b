from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryRecords, MemoryTaskTable
from urlsum.deadline import Deadline
from urlsum.errors import Changed, FailureCode, Incomplete, NotDue, TableUnavailable
from urlsum.settings import Settings
from urlsum.task import Failure, Status, Task
from urlsum.worker import reuse
from urlsum.worker.retry import MAX_SLICES
from urlsum.worker.reuse import LONGEST_LOOK_SECONDS, MOST_REMEMBERED, SMALL_BYTES, TURN_SECONDS
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = bytes(range(256)) * 2500  # 640,000 bytes: 32 pieces, so 32 seconds
PIECE = 20_000
SETTINGS = Settings(checkpoint_seconds=10, lease_seconds=90, max_attempts=3)
FIRST, SECOND, THIRD = (f"0e4fac17-0000-4000-8000-00000000000{n}" for n in range(3))


URLS = (f"https://o.example/{number}" for number in itertools.count())


class Tasks:
    """Tasks of one file; each piece of it takes a second."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.url = next(URLS)
        self.clock = Clock()
        self.table = MemoryTaskTable()
        self.records = MemoryRecords()
        self.source = SyntheticSource(content, self.clock, piece=PIECE)
        self.deps = Deps(SETTINGS, self.table, self.source, self.clock, self.clock, records=self.records)

    def add(self, task_id: str, *, fresh: bool = False) -> None:
        now = self.clock()
        self.table.add(
            Task(
                id=task_id,
                url=self.url,
                created_at=now,
                updated_at=now,
                due_at=now,
                expires_at=2**31,
                fresh=fresh,
            )
        )

    def slice(self, task_id: str, seconds: float = 10_000) -> Task:
        return run_slice(task_id, self.deps, deadline=Deadline.after(seconds, clock=self.clock))

    def begun(self, seconds: float = 10) -> Task:
        """The first task, after a slice of some seconds."""
        self.add(FIRST)
        return self.slice(FIRST, seconds)

    def waiting(self, task_id: str = SECOND) -> Task:
        """Another task, of another process, which waits for the first one."""
        reuse._last_seen.clear()
        self.add(task_id)
        task = self.slice(task_id)
        assert not task.complete
        return task

    def change(self, task_id: str, **changes: object) -> None:
        stored = self.table.get(task_id)
        self.table.save(replace(stored, **changes), over=stored)  # type: ignore[arg-type]

    def finish(self, task_id: str) -> Task:
        """The task once it has ended, alone."""
        task = self.table.get(task_id)
        while not task.complete:
            assert task.due_at is not None
            self.clock.now = max(self.clock.now, task.due_at + 0.001)
            task = self.slice(task_id)
        return task


def test_a_task_waits_while_another_reads_and_takes_its_result() -> None:
    tasks = Tasks()
    tasks.begun()
    waiting = tasks.waiting()
    assert (waiting.status, waiting.lease_until, waiting.attempts, waiting.error) == (Status.RUNNING, 0.0, 0, None)
    assert tasks.source.opened == [0, 0]  # the second one was closed
    first = tasks.finish(FIRST)
    second = tasks.finish(SECOND)
    assert (second.status, second.md5, second.size) == (Status.DONE, first.md5, len(CONTENT))
    assert (first.reused_at, second.reused_at) == (None, first.finished_at)
    assert len(tasks.source.recognized) == 1
    assert second.received == 3 * 65_536
    assert (second.checkpoint, second.due_at, second.lease_until) == (None, None, 0.0)


def test_a_look_at_the_reader_asks_no_origin_and_spends_no_try() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.waiting()
    opened = list(tasks.source.opened)
    for _ in range(3 * SETTINGS.max_attempts):
        tasks.clock.now = (tasks.table.get(SECOND).due_at or 0) + 0.001
        tasks.change(FIRST, lease_until=tasks.clock() + 90, due_at=tasks.clock() + 90)  # a worker is at it
        assert tasks.slice(SECOND).attempts == 0
    assert tasks.source.opened == opened
    assert tasks.source.recognized == []


@pytest.mark.parametrize(
    ("left", "waited", "seconds"),
    [
        (7.5, 300, 7.5),  # as the reader's rate says
        (7.5, 50, 5.0),  # a tenth of the waiting, as rates change
        (None, 50, 5.0),
        (0.1, 300, 1.0),
        (None, 0, 1.0),
        (7200.0, 3600, LONGEST_LOOK_SECONDS),
    ],
)
def test_the_next_look_comes_when_the_reader_may_be_done(left: float | None, waited: float, seconds: float) -> None:
    tasks = Tasks()
    first = tasks.begun(seconds=10)
    tasks.waiting()
    tasks.change(FIRST, rate=left and (len(CONTENT) - first.offset) / left)
    tasks.clock.now = tasks.table.get(SECOND).created_at + waited + 2
    tasks.change(SECOND, created_at=tasks.clock() - waited)
    tasks.change(FIRST, lease_until=tasks.clock() + 90)
    assert tasks.slice(SECOND).due_at == pytest.approx(tasks.clock() + seconds)
    with pytest.raises(NotDue):
        tasks.slice(SECOND)


def test_a_task_of_the_same_process_asks_only_for_the_samples() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.add(SECOND)
    assert not tasks.slice(SECOND).complete
    first, second = tasks.finish(FIRST), tasks.finish(SECOND)
    tasks.url += "#fragment"
    tasks.add(THIRD)
    third = tasks.slice(THIRD)
    assert {first.md5, second.md5, third.md5} == {tasks.source.md5}
    assert tasks.source.opened == [0, first.resumed_from or tasks.source.opened[1]]
    assert len(tasks.source.recognized) == 2


def test_what_a_process_remembers_may_be_stale() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.finish(FIRST)
    tasks.source.version, tasks.source.content = "v2", CONTENT[::-1]
    tasks.add(SECOND)
    assert tasks.slice(SECOND).md5 == tasks.source.md5
    tasks.records.records.clear()
    tasks.add(THIRD)
    assert tasks.slice(THIRD).reused_at is None


def test_what_a_process_remembers_is_bounded() -> None:
    tasks = Tasks()
    for number in range(MOST_REMEMBERED + 10):
        task = Task(id=FIRST, url=str(number), created_at=0, updated_at=0, expires_at=2**31, file_key=str(number))
        reuse.announced(task, tasks.deps)
    assert reuse.last_seen("9") is None
    assert [reuse.last_seen(str(number)) for number in (10, MOST_REMEMBERED + 9)] == ["10", str(MOST_REMEMBERED + 9)]
    assert len(reuse._last_seen) == MOST_REMEMBERED


def test_waiting_ends() -> None:
    """As for every task, by its age: looks at the reader are slices, and there are fewer of them than allowed."""
    hours = Settings().max_task_hours
    assert hours * 3600 / LONGEST_LOOK_SECONDS < MAX_SLICES
    tasks = Tasks()
    tasks.begun()
    tasks.waiting()
    tasks.clock.now += hours * 3600
    tasks.change(FIRST, lease_until=tasks.clock() + 90)
    assert tasks.slice(SECOND).status is Status.FAILED


def failed(task: Task, now: float) -> Task:
    return task.failed(Failure(FailureCode.HTTP, "status 404"), now)


def lapsed(task: Task, now: float) -> Task:
    """Its worker died a lease ago, and no sweep has come."""
    return replace(task, lease_until=now - 90, due_at=now - 90)


def lost(task: Task, now: float) -> Task:
    """Its message was lost, and no sweep has come."""
    return task.released(now - TURN_SECONDS)


def put_off(task: Task, now: float) -> Task:
    """Its server asked for hours."""
    failure = Failure(FailureCode.HTTP, "status 503")
    return replace(task.retried(failure, now, delay=6 * 3600), updated_at=now - 91)


def moved(task: Task, now: float) -> Task:
    return replace(task, file_key="another", lease_until=now + 90, due_at=now + 90)


@pytest.mark.parametrize("ended", [failed, Task.cancelled, lapsed, lost, put_off, moved])
def test_one_task_takes_over_from_a_reader_that_does_not_go_on(ended: Callable[[Task, float], Task]) -> None:
    tasks = Tasks()
    first = tasks.begun()
    tasks.waiting(SECOND)
    tasks.waiting(THIRD)
    tasks.clock.now += 60
    tasks.table.tasks[FIRST] = ended(first, tasks.clock())
    second = tasks.slice(SECOND, seconds=10)
    assert (second.status, second.offset > 0) == (Status.RUNNING, True)
    opened = list(tasks.source.opened)
    third = tasks.slice(THIRD)
    assert (third.complete, third.offset, tasks.source.opened) == (False, 0, opened)
    second, third = tasks.finish(SECOND), tasks.finish(THIRD)
    assert {second.md5, third.md5} == {tasks.source.md5}
    assert (second.reused_at, third.reused_at) == (None, second.finished_at)


def test_a_reader_whose_row_is_gone_is_no_reader() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.waiting()
    del tasks.table.tasks[FIRST]
    assert tasks.finish(SECOND).reused_at is None


def running(task: Task, now: float) -> Task:
    return replace(task, lease_until=now + 1, due_at=now + 1)


def just_lapsed(task: Task, now: float) -> Task:
    return replace(task, lease_until=now - 89, due_at=now - 89)


def retrying(task: Task, now: float) -> Task:
    return task.retried(Failure(FailureCode.TIMEOUT, "silent"), now, delay=5)


def released(task: Task, now: float) -> Task:
    return task.released(now - TURN_SECONDS + 1)


@pytest.mark.parametrize("going_on", [running, just_lapsed, retrying, released])
def test_no_task_takes_over_from_a_reader_that_goes_on(going_on: Callable[[Task, float], Task]) -> None:
    tasks = Tasks()
    first = tasks.begun()
    tasks.waiting()
    tasks.clock.now += 60
    tasks.table.tasks[FIRST] = going_on(first, tasks.clock())
    opened = list(tasks.source.opened)
    assert not tasks.slice(SECOND).complete
    assert tasks.source.opened == opened


def test_a_reader_that_was_killed_reads_on_and_is_waited_for() -> None:
    tasks = Tasks()
    tasks.begun()
    # The claim of a slice that was killed at once.
    tasks.clock.now += 1
    stored = tasks.table.get(FIRST)
    tasks.table.save(stored.claimed(tasks.clock(), 90), over=stored)
    tasks.waiting()
    tasks.clock.now += 91
    first = tasks.finish(FIRST)
    assert (first.md5, first.reused_at) == (tasks.source.md5, None)
    assert tasks.finish(SECOND).reused_at == first.finished_at


def test_a_reader_killed_before_its_commit_takes_its_own_result() -> None:
    tasks = Tasks()
    tasks.add(FIRST)
    save = tasks.table.save

    def dead(task: Task, *, over: Task, lease_before: float | None = None) -> None:
        if task.complete:
            raise SystemExit
        save(replace(task, checkpoint=None), over=over, lease_before=lease_before)

    tasks.table.save = dead  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        tasks.slice(FIRST)
    tasks.table.save = save  # type: ignore[method-assign]
    tasks.add(SECOND)
    # Its result is known before it is committed, so that no task that waits reads the file.
    second = tasks.slice(SECOND)
    assert (second.md5, second.reused_at) == (tasks.source.md5, tasks.clock())
    tasks.clock.now += 91
    first = tasks.slice(FIRST)
    assert (first.md5, first.reused_at) == (tasks.source.md5, None)
    assert tasks.source.opened == [0]
    assert len(tasks.source.recognized) == 2


def test_a_file_that_changed_since_is_read() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.finish(FIRST)
    tasks.source.recognize = _changed  # type: ignore[method-assign]
    tasks.add(SECOND)
    second = tasks.slice(SECOND)
    assert (second.md5, second.reused_at) == (tasks.source.md5, None)


def _changed(url: str, *_: object, **__: object) -> None:
    raise Changed(url)


def test_of_many_that_find_a_stale_result_one_reads() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.finish(FIRST)
    recognize = tasks.source.recognize
    tasks.source.recognize = _changed  # type: ignore[method-assign]
    tasks.add(SECOND)
    tasks.slice(SECOND, seconds=10)
    third = tasks.waiting(THIRD)
    assert third.offset == 0
    tasks.finish(SECOND)
    tasks.source.recognize = recognize  # type: ignore[method-assign]
    assert tasks.finish(THIRD).reused_at is not None


def test_an_origin_that_proves_nothing_lets_all_read_at_once() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.finish(FIRST)
    tasks.source.recognize = lambda *_, **__: None  # type: ignore[method-assign]
    for task_id in (SECOND, THIRD):
        tasks.add(task_id)
        assert tasks.slice(task_id, seconds=10).offset > 0


def test_a_fault_of_the_origin_is_tried_again_and_then_the_file_is_read() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.finish(FIRST)
    tasks.source.recognize = _cut  # type: ignore[method-assign]
    tasks.add(SECOND)
    first_try = tasks.slice(SECOND)
    assert (first_try.status, first_try.error and first_try.error.code) == (Status.QUEUED, FailureCode.INCOMPLETE)
    second = tasks.finish(SECOND)
    assert (second.md5, second.reused_at, second.error) == (tasks.source.md5, None, None)


def _cut(*_: object, **__: object) -> None:
    raise Incomplete("cut")


def test_a_reading_that_proves_too_little_is_not_waited_for_again() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.waiting()
    unproven = type("Unproven", (), {"__get__": lambda *_: None})()
    original = type(tasks.source.open("https://o.example/f", deadline=Deadline.after(1, clock=tasks.clock)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(original, "fingerprint", unproven)
        tasks.finish(FIRST)
        assert tasks.table.get(FIRST).complete
        tasks.clock.now += 60
        assert tasks.slice(SECOND, seconds=10).offset > 0
        tasks.add(THIRD)
        assert tasks.slice(THIRD, seconds=10).offset > 0


def test_a_fresh_task_neither_waits_nor_takes_a_result_but_leaves_one() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.add(SECOND, fresh=True)
    second = tasks.finish(SECOND)
    assert (second.md5, second.reused_at) == (tasks.source.md5, None)
    tasks.add(THIRD)
    assert tasks.slice(THIRD).reused_at == second.finished_at
    # The reader did not know of it, and its result replaces that of the fresh task.
    assert tasks.finish(FIRST).reused_at is None


def test_another_version_is_not_waited_for() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.source.version = "v2"
    reuse._last_seen.clear()  # as in another process
    tasks.add(SECOND)
    assert tasks.slice(SECOND, seconds=10).offset > 0


def test_a_waiting_task_whose_file_was_replaced_meets_the_new_version() -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.waiting()
    tasks.finish(FIRST)
    tasks.source.version, tasks.source.content = "v2", CONTENT[::-1]
    second = tasks.finish(SECOND)
    assert (second.md5, second.reused_at) == (tasks.source.md5, None)


def test_a_small_file_touches_no_record() -> None:
    tasks = Tasks(CONTENT[:SMALL_BYTES])
    tasks.records.down = True
    tasks.add(FIRST)
    assert tasks.slice(FIRST).md5 == tasks.source.md5


def test_without_the_records_nothing_is_written() -> None:
    tasks = Tasks()
    tasks.add(FIRST)
    tasks.records.down = True
    with pytest.raises(TableUnavailable):
        tasks.slice(FIRST)
    stored = tasks.table.get(FIRST)
    assert (stored.status, stored.fence, stored.offset) == (Status.RUNNING, 1, 0)


def test_records_that_fail_at_the_end_cost_no_result(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()
    tasks.begun()
    tasks.records.down = True
    assert tasks.finish(FIRST).md5 == tasks.source.md5
    assert "cannot be used by others" in caplog.text


def test_a_record_of_another_release_is_no_obstacle() -> None:
    tasks = Tasks()
    tasks.begun()
    (record,) = tasks.records.records.values()
    tasks.records.records[record.key] = structs.replace(record, value='{"type": "future"}')
    tasks.add(SECOND)
    assert tasks.slice(SECOND).md5 == tasks.source.md5
