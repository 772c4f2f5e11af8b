"""The clock of a deployment, with the clocks of a machine and of its database set by the test."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest

from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.deadline import Deadline
from urlsum.errors import ClockSkewed, Incomplete, SettingsError
from urlsum.settings import Settings
from urlsum.tables.clock import DatabaseClock
from urlsum.worker.delivery import handle

TRUE = 1_795_000_000.0


class Machine:
    """A machine whose clock is ``behind`` by some seconds, and which needs ``took`` for each question."""

    def __init__(self, behind: float, *took: float) -> None:
        self.behind = behind
        self.now = TRUE
        self._took = list(took)
        self.clock = DatabaseClock(self._read, local=lambda: self.now - self.behind, monotonic=lambda: self.now)

    def _read(self) -> float | None:
        took = self._took.pop(0) if self._took else 0.0
        self.now += took
        return self.now - took / 2


@pytest.mark.parametrize("behind", [0.0, 9.9, -9.9, 0.25])
def test_an_offset_of_seconds_is_corrected(behind: float) -> None:
    machine = Machine(behind)
    assert machine.clock() == TRUE - behind
    machine.clock.synchronize()
    assert machine.clock() == TRUE
    machine.now += 1000
    assert machine.clock() == TRUE + 1000


@pytest.mark.parametrize(
    ("behind", "words"), [(300.0, "300 s behind the database's"), (-11.0, "11 s ahead of the database's")]
)
def test_more_than_ten_seconds_are_refused_with_one_line(behind: float, words: str) -> None:
    machine = Machine(behind)
    with pytest.raises(ClockSkewed, match=f"^the clock of this machine is {words}; set both by NTP$") as caught:
        machine.clock.synchronize()
    assert isinstance(caught.value, SettingsError)  # as other faults that end a process at its start
    assert machine.clock() == TRUE  # a process that has begun works on


def test_a_clock_that_is_set_meanwhile_is_corrected_again() -> None:
    machine = Machine(0.0)
    machine.clock.synchronize()
    machine.behind = 5.0
    machine.clock.synchronize()
    assert machine.clock() == TRUE


def test_the_quickest_of_three_answers_counts() -> None:
    machine = Machine(4.0, 3.0, 0.0, 2.0)
    machine.clock.synchronize()
    assert machine.clock() == machine.now


@pytest.mark.parametrize("behind", [0.0, 0.4, 0.9, -0.9, 3.0, -3.0, 9.9])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.95])
def test_of_a_clock_in_whole_seconds_only_what_is_certain_is_corrected(behind: float, fraction: float) -> None:
    """Never beyond the true offset, and never more than a second of it is left."""
    now = TRUE + fraction
    reads = 0

    def read() -> float:
        nonlocal reads
        reads += 1
        return math.floor(now) + 0.5

    clock = DatabaseClock(read, resolution=1.0, local=lambda: now - behind, monotonic=lambda: now)
    clock.synchronize()
    corrected = clock() - (now - behind)
    assert -1e-6 <= (behind - corrected) * math.copysign(1, behind) <= 1 + 1e-6
    assert corrected * behind >= 0
    assert reads == 1


@pytest.mark.parametrize(("behind", "refused"), [(300.0, True), (-12.0, True), (10.5, False), (-10.0, False)])
def test_a_clock_in_whole_seconds_refuses_what_is_certainly_too_far(behind: float, refused: bool) -> None:
    now = TRUE + 0.5
    clock = DatabaseClock(lambda: now, resolution=1.0, local=lambda: now - behind, monotonic=lambda: now)
    with pytest.raises(ClockSkewed) if refused else nullcontext():
        clock.synchronize()


def test_where_the_database_has_no_clock_of_its_own_the_machines_counts() -> None:
    clock = DatabaseClock(lambda: None, local=lambda: TRUE)
    clock.synchronize()
    assert clock() == TRUE


@pytest.mark.parametrize("behind", [8.0, -8.0])
def test_a_worker_whose_clock_is_wrong_runs_a_retry_once_at_its_time(behind: float) -> None:
    """Its message comes when it is due by the clock of the server."""
    machine, table, queue = Machine(behind), MemoryTaskTable(), MemoryQueue()
    machine.clock.synchronize()
    task = new_task(created_at=TRUE, due_at=TRUE + 30, not_before=TRUE + 30, expires_at=2**40)
    table.add(task)
    opened: list[float] = []

    class Source:
        def open(self, *_: object, **__: object) -> None:
            opened.append(machine.now)
            raise Incomplete("cut")

    deps = Deps(Settings(), table, Source(), machine.clock, machine.clock, queue)  # type: ignore[arg-type] # no file is read
    for early in (29.0, 30.5):
        machine.now = TRUE + early
        handle(task.id, deps, deadline=Deadline.after(60, clock=machine.clock))
    assert opened == [TRUE + 30.5]
    early_message, next_try = queue.sent
    assert early_message == (task.id, 1.0)
    tried = table.get(task.id)
    assert (tried.updated_at, tried.not_before) == (TRUE + 30.5, TRUE + 30.5 + next_try[1])
