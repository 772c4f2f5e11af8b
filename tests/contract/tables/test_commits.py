"""Writes of several threads that share a commit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.support.tables import NOW, new_task
from urlsum.errors import LeaseLost, TableUnavailable, TaskExists
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITERS = 12


class Watched:
    """A table on SQLite whose commits are counted, and can be held up or made to fail."""

    def __init__(self, uri: str) -> None:
        self.table = SqlTaskTable(uri)
        self.commits: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.held = threading.Event()
        self.fail: Callable[[str], None] = lambda statement: None
        self._level = ""
        event.listen(self.table._engine, "before_cursor_execute", self._before)

    def _before(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("PRAGMA"):
            self._level = statement.rpartition(" ")[2]
        self.fail(statement)
        if statement == "COMMIT":
            self.commits.append(self._level)
            self.held.set()
            self.gate.wait(10)

    def behind_a_held_commit(self, *writes: Callable[[], object]) -> list[object]:
        """Start ``writes`` while another commit is under way; return what became of them."""
        self.gate.clear()
        self.held.clear()
        with ThreadPoolExecutor(WRITERS + 1) as pool:
            pool.submit(self.table.add, new_task())
            assert self.held.wait(10)
            futures = [pool.submit(write) for write in writes]
            commits = self.table._commits
            assert commits is not None
            while len(commits._waiting) < len(writes):
                pass
            self.gate.set()
            return [future.exception() or future.result() for future in futures]


@pytest.fixture
def watched(sqlite_database: str) -> Iterator[Watched]:
    made = Watched(sqlite_database)
    yield made
    made.table._engine.dispose()


def test_who_comes_while_a_commit_is_under_way_shares_the_next_one(watched: Watched) -> None:
    tasks = [new_task() for _ in range(WRITERS)]
    outcomes = watched.behind_a_held_commit(*(lambda task=task: watched.table.add(task) for task in tasks))
    assert outcomes == [None] * WRITERS
    assert len(watched.commits) == 2
    assert all(watched.table.get(task.id) == task for task in tasks)


def test_one_that_is_refused_does_not_harm_the_others(watched: Watched) -> None:
    present, task = new_task(), new_task()
    watched.table.add(present)
    moved = present.claimed(NOW + 1, 90)
    stale = new_task(id=present.id, fence=7)
    outcomes = watched.behind_a_held_commit(
        lambda: watched.table.add(present),
        lambda: watched.table.add(task),
        lambda: watched.table.save(moved, over=present),
        lambda: watched.table.save(moved, over=stale),
    )
    assert [type(outcome) for outcome in outcomes] == [TaskExists, type(None), type(None), LeaseLost]
    assert watched.table.get(task.id) == task
    assert watched.table.get(present.id) == moved


def test_of_two_claims_in_one_commit_one_wins(watched: Watched) -> None:
    task = new_task()
    watched.table.add(task)
    claimed = task.claimed(NOW + 1, 90)
    claims = [lambda: watched.table.save(claimed, over=task, lease_before=NOW + 1)] * WRITERS
    outcomes = watched.behind_a_held_commit(*claims)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost"] * (WRITERS - 1) + ["NoneType"]


def test_a_commit_that_fails_fails_for_all_and_leaves_no_lock_behind(watched: Watched) -> None:
    tasks = [new_task() for _ in range(3)]

    def fail(statement: str) -> None:
        if statement == "COMMIT" and len(watched.commits) == 1:
            raise sa.exc.OperationalError("COMMIT", {}, Exception("disk I/O error"))

    watched.fail = fail
    outcomes = watched.behind_a_held_commit(*(lambda task=task: watched.table.add(task) for task in tasks))
    assert [type(outcome) for outcome in outcomes] == [TableUnavailable] * 3
    watched.fail = lambda statement: None
    for task in tasks:
        watched.table.add(task)


def test_results_wait_for_the_disk_and_claims_and_checkpoints_do_not(watched: Watched) -> None:
    task = new_task()
    watched.table.add(task)
    claimed = task.claimed(NOW + 1, 90)
    watched.table.save(claimed, over=task, lease_before=NOW + 1)
    released = claimed.released(NOW + 2)
    watched.table.save(released, over=claimed)
    done = released.done("0" * 32, 1, NOW + 3)
    watched.table.save(done, over=released)
    watched.table.remove(done)
    assert watched.commits == ["FULL", "NORMAL", "NORMAL", "FULL", "FULL"]


def test_no_writer_waits_for_ever(watched: Watched) -> None:
    tasks = [new_task() for _ in range(200)]

    def life(number: int) -> None:
        task = tasks[number]
        watched.table.add(task)
        claimed = task.claimed(NOW + 1, 90)
        watched.table.save(claimed, over=task, lease_before=NOW + 1)
        watched.table.save(claimed.done("0" * 32, 1, NOW + 2), over=claimed)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(life, range(len(tasks)), timeout=60))
    assert {watched.table.get(task.id).status for task in tasks} == {Status.DONE}
