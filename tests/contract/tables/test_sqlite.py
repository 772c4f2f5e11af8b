"""Threads that write to one SQLite file: when they wait for the disk, and for whom they do not."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from selfhost.migrate import upgrade
from tests.support.stores.tables import NOW, new_task
from urlsum.errors import LeaseLost, TableUnavailable, TaskExists
from urlsum.tables import engine, group_commit
from urlsum.tables import sqlite as sqlite_file
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.task import Task

WRITERS = 12
# How long a test waits for what must come.
SECONDS = 10.0
# Instead of what SQLAlchemy and SQLite are given in earnest; long enough for a read on a busy machine.
BUSY_TIMEOUT = 1.0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_and_its_log_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "urlsum.db"
    before = os.umask(0)  # the most generous one must not matter
    try:
        upgrade(f"sqlite:///{path}")
        table = SqlTaskTable(f"sqlite:///{path}")
        table.add(new_task())
    finally:
        os.umask(before)
    # The log exists while a connection is open.
    assert {each.name: mode(each) for each in path.parent.iterdir()} == dict.fromkeys(
        ["urlsum.db", "urlsum.db-wal", "urlsum.db-shm"], 0o600
    )


@pytest.mark.parametrize("chosen", [0o400, 0o600, 0o640, 0o660])
def test_the_mode_of_an_existing_file_is_its_owners_choice(tmp_path: Path, chosen: int) -> None:
    path = tmp_path / "urlsum.db"
    upgrade(f"sqlite:///{path}")
    path.chmod(chosen)
    SqlTaskTable(f"sqlite:///{path}").due(NOW, 1)
    assert mode(path) == chosen


class Watched:
    """A table on SQLite whose waits for the disk are counted, and can be held up or made to fail."""

    def __init__(self, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = Path(str(sa.make_url(uri).database))
        self.table = SqlTaskTable(uri)
        self.flushes = 0
        self.broken = False
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self._flush = group_commit.flush
        monkeypatch.setattr(group_commit, "flush", self._watched)

    def _watched(self, path: str) -> None:
        self.flushes += 1
        self.begun.release()
        assert self.gate.wait(SECONDS)
        if self.broken:
            raise OSError("Input/output error")
        self._flush(path)
        for file in (self.path, Path(path)):
            shutil.copy(file, self.image.with_name(file.name.replace(self.path.name, self.image.name)))

    @property
    def image(self) -> Path:
        """The file as it was on the disk when the last wait ended, its log beside it."""
        return self.path.with_name("image.db")

    def on_disk(self, task: Task) -> bool:
        with closing(sqlite3.connect(self.image)) as image:
            return image.execute("SELECT 1 FROM tasks WHERE id = ?", (task.id,)).fetchone() is not None

    def behind_a_held_wait(self, *writes: Callable[[], object]) -> list[object]:
        """Start ``writes`` while another one waits for the disk; return what became of them."""
        self.gate.clear()
        with ThreadPoolExecutor(WRITERS + 1) as pool:
            pool.submit(self.table.add, new_task())
            assert self.begun.acquire(timeout=SECONDS)
            futures = [pool.submit(write) for write in writes]
            time.sleep(0.3)
            assert not any(future.done() for future in futures)
            self.gate.set()
            return [future.exception() or future.result() for future in futures]


@pytest.fixture
def watched(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(engine, "SQLITE_BUSY_SECONDS", BUSY_TIMEOUT)
    made = Watched(sqlite_database, monkeypatch)
    yield made
    made.table._database.close()


def test_who_comes_while_another_waits_for_the_disk_shares_the_next_wait(watched: Watched) -> None:
    tasks = [new_task() for _ in range(WRITERS)]
    outcomes = watched.behind_a_held_wait(*(lambda task=task: watched.table.add(task) for task in tasks))
    assert outcomes == [None] * WRITERS
    assert watched.flushes == 2
    assert all(watched.on_disk(task) for task in tasks)


def test_an_id_is_on_the_disk_before_it_is_answered(watched: Watched) -> None:
    for _ in range(20):
        task = new_task()
        watched.table.add(task)
        assert watched.on_disk(task)


def test_whose_id_is_taken_waits_until_the_one_that_took_it_is_on_the_disk(watched: Watched) -> None:
    task = new_task()
    watched.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(watched.table.add, task)
        assert watched.begun.acquire(timeout=SECONDS)
        second = pool.submit(watched.table.add, task)
        time.sleep(0.3)
        assert not first.done()
        assert not second.done()
        watched.gate.set()
        assert first.exception() is None
        assert isinstance(second.exception(), TaskExists)


def test_one_that_is_refused_does_not_harm_the_others(watched: Watched) -> None:
    present, task = new_task(), new_task()
    watched.table.add(present)
    watched.begun.acquire()
    cancelled = present.cancelled(NOW + 1)
    outcomes = watched.behind_a_held_wait(
        lambda: watched.table.add(present),
        lambda: watched.table.add(task),
        lambda: watched.table.save(cancelled, over=present),
    )
    assert [type(outcome) for outcome in outcomes] == [TaskExists, type(None), type(None)]
    with pytest.raises(LeaseLost):
        watched.table.save(cancelled, over=new_task(id=present.id, fence=7))
    assert watched.table.get(task.id) == task
    assert watched.table.get(present.id) == cancelled


def test_claims_and_checkpoints_and_readers_do_not_wait_for_the_disk(watched: Watched) -> None:
    task = new_task()
    watched.table.add(task)
    watched.begun.acquire()
    claimed = task.claimed(NOW + 1, 90)
    released = claimed.released(NOW + 2)

    def meanwhile() -> None:
        try:
            watched.table.save(claimed, over=task, lease_before=NOW + 1)
            watched.table.save(released, over=claimed)
            assert watched.table.get(task.id) == released
            assert watched.table.due(NOW + 2, 10)
        finally:
            watched.gate.set()

    watched.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(watched.table.add, new_task())
        assert watched.begun.acquire(timeout=SECONDS)
        pool.submit(meanwhile).result(SECONDS)
        held.result(SECONDS)
    assert watched.flushes == 2


def test_results_and_what_is_removed_wait_for_the_disk(watched: Watched) -> None:
    task = new_task(status=Status.RUNNING)
    watched.table.add(task)
    done = task.done("0" * 32, 1, NOW + 3)
    watched.table.save(done, over=task)
    assert watched.flushes == 2
    watched.table.remove(done)
    assert watched.flushes == 3


def test_a_disk_that_fails_fails_all_who_wait_for_it_and_nobody_later(watched: Watched) -> None:
    watched.broken = True
    outcomes = watched.behind_a_held_wait(*(lambda: watched.table.add(new_task()) for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [TableUnavailable] * 3
    watched.broken = False
    task = new_task()
    watched.table.add(task)
    assert watched.on_disk(task)


def test_of_many_claims_at_once_one_wins(watched: Watched) -> None:
    task = new_task()
    watched.table.add(task)
    claimed = task.claimed(NOW + 1, 90)
    together = threading.Barrier(WRITERS)

    def claim() -> None:
        together.wait(SECONDS)
        watched.table.save(claimed, over=task, lease_before=NOW + 1)

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = [future.exception() for future in [pool.submit(claim) for _ in range(WRITERS)]]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost"] * (WRITERS - 1) + ["NoneType"]


def test_a_file_that_another_process_holds_is_unavailable_in_time_to_all_who_write_and_nobody_who_reads(
    watched: Watched,
) -> None:
    task = new_task()
    watched.table.add(task)
    with closing(sqlite3.connect(watched.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with ThreadPoolExecutor(WRITERS) as pool:
            writes = [pool.submit(watched.table.add, new_task()) for _ in range(WRITERS)]
            assert watched.table.get(task.id) == task
            assert time.monotonic() - begun < BUSY_TIMEOUT
            assert {type(write.exception()) for write in writes} == {TableUnavailable}
        # At most one busy time-out for the connection, then one for the file.
        assert time.monotonic() - begun < 2 * BUSY_TIMEOUT + 0.5
    watched.table.add(new_task())


def test_a_write_looks_for_the_end_of_another_process_s_write_in_short_pauses(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.table.due(NOW, 1)
    watched.table.remove(new_task())  # both connections are open
    pauses: list[float] = []
    with closing(sqlite3.connect(watched.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.execute("ROLLBACK")

        monkeypatch.setattr(sqlite_file, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
        task = new_task()
        watched.table.add(task)
    assert pauses == [0.0001, 0.0002, 0.0004]
    assert watched.table.get(task.id) == task


def test_a_file_without_a_log_is_left_to_sqlite(watched: Watched) -> None:
    with closing(sqlite3.connect(watched.path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    task = new_task()
    watched.table.add(task)
    assert watched.table.get(task.id) == task
    assert watched.flushes == 0
    connection = watched.table._database._store._writing._connection  # type: ignore[union-attr]
    assert connection is not None
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


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


def test_a_row_that_may_not_be_on_the_disk_is_in_doubt(
    sqlite_table: SqlTaskTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(group_commit, "flush", fail)
    task = new_task()
    with pytest.raises(TableUnavailable) as caught:
        sqlite_table.add(task)
    assert caught.value.in_doubt
    assert sqlite_table.get(task.id) == task
