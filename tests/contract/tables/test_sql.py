"""What only the SQL table has: processes that share a file, a server that restarts, a schema that may be missing."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.support.stores.tables import NOW, connected, execute, full_task, new_task
from urlsum.errors import Conflict, SettingsError, TableUnavailable
from urlsum.tables.engine import create_engine
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.tables import TaskTable
    from urlsum.task import Task

# Processes that each add tasks, printing each id once it may be answered, and then claim every task that they find due.
# They are forks of one, which saves the imports.
WORKER = textwrap.dedent("""
    import os, sys, uuid
    from urlsum.errors import Conflict
    from urlsum.tables.sql import SqlTaskTable
    from urlsum.task import Task

    def say(line):
        # One write, so that lines of several processes do not mix.
        sys.stdout.write(line + "\\n")
        sys.stdout.flush()

    count, others = int(sys.argv[2]), []
    for _ in range(int(sys.argv[3]) - 1):
        if (pid := os.fork()) == 0:
            others = []
            break
        others.append(pid)
    table = SqlTaskTable(sys.argv[1])
    for _ in range(count):
        id = str(uuid.uuid4())
        table.add(Task(id=id, url="https://example.org/", created_at=1.0, updated_at=1.0, due_at=1.0, expires_at=9))
        say(id)
    for id in table.due(2.0, 10_000):
        try:
            before = table.get(id)
            table.save(before.claimed(3.0, 90.0), over=before, lease_before=3.0)
            say(f"claimed {id}")
        except Conflict:
            pass
    sys.exit(any([os.waitpid(pid, 0)[1] for pid in others]))
""")


def start_workers(database_uri: str, count: int, processes: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, database_uri, str(count), str(processes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite_database", "migrated_mysql_database"])
def database_uri(request: pytest.FixtureRequest) -> str:
    uri: str = request.getfixturevalue(request.param)
    return uri


def assert_unavailable(table: TaskTable, words: str) -> None:
    task = new_task()
    for call in (
        lambda: table.add(task),
        lambda: table.get(task.id),
        lambda: table.save(task, over=task),
        lambda: table.remove(task),
        lambda: table.due(NOW, 1),
        lambda: list(table.overdue(NOW, 1)),
        lambda: table.purge(NOW, 1),
    ):
        with pytest.raises(TableUnavailable, match=words):
            call()


@pytest.mark.timeout(60)
def test_processes_share_a_database_and_every_task_is_claimed_by_one(database_uri: str) -> None:
    workers = start_workers(database_uri, 40, processes=3)
    output = workers.communicate()[0].splitlines()
    assert workers.returncode == 0
    added = [line for line in output if " " not in line]
    claimed = [line.partition(" ")[2] for line in output if " " in line]
    assert len(added) == 120
    assert sorted(claimed) == sorted(added)  # the last one sees all of them, and none is claimed twice
    table = SqlTaskTable(database_uri)
    assert {table.get(id_).fence for id_ in added} == {1}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("level", ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_every_task_is_claimed_by_one_whatever_the_isolation_level(migrated_mysql_database: str, level: str) -> None:
    set_level = f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"
    uri = sa.make_url(migrated_mysql_database).update_query_dict({"init_command": set_level})
    table, ids = SqlTaskTable(uri.render_as_string(hide_password=False)), [new_task().id for _ in range(20)]
    for task_id in ids:
        table.add(new_task(id=task_id))
    claimed: list[str] = []

    def claim() -> None:
        for task_id in ids:
            with suppress(Conflict):
                before = table.get(task_id)
                table.save(before.claimed(NOW + 1, 90.0), over=before, lease_before=NOW + 1)
                claimed.append(task_id)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)
    assert {table.get(task_id).fence for task_id in ids} == {1}


def test_mysql_keeps_the_longest_url_of_characters_outside_the_basic_plane(migrated_mysql_database: str) -> None:
    # Four bytes each in utf8mb4; MySQL's older "utf8" has no room for them.
    table, task = SqlTaskTable(migrated_mysql_database), new_task(url="https://example.org/" + "\U0001f9ec" * 2000)
    table.add(task)
    assert table.get(task.id) == task
    assert len(task.url.encode()) > 8000


@pytest.mark.timeout(60)
def test_an_answered_id_survives_kill_9(database_uri: str) -> None:
    worker = start_workers(database_uri, 100_000)
    assert worker.stdout is not None
    answered = [worker.stdout.readline().strip() for _ in range(20)]
    worker.send_signal(signal.SIGKILL)
    answered += worker.communicate()[0].split("\n")[:-1]  # what it had printed, but not a line that was cut
    table = SqlTaskTable(database_uri)
    assert len(answered) >= 20
    for task_id in answered:
        assert table.get(task_id).id == task_id


def test_sqlite_writes_reach_the_disk_before_an_id_is_answered(sqlite_database: str) -> None:
    with connected(sqlite_database) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_mysql_connection_that_the_server_closed_is_replaced(migrated_mysql_database: str) -> None:
    table = SqlTaskTable(migrated_mysql_database)
    task = new_task()
    table.add(task)
    mine = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    connections = execute(migrated_mysql_database, mine)
    assert len(connections) == 1
    for (connection_id,) in connections:
        execute(migrated_mysql_database, f"KILL {connection_id}")
    assert table.get(task.id) == task


def test_columns_of_a_newer_version_survive_a_save(database_uri: str) -> None:
    table, task = SqlTaskTable(database_uri), full_task()
    table.add(task)
    execute(database_uri, "ALTER TABLE tasks ADD COLUMN sha256 VARCHAR(64)")
    execute(database_uri, "UPDATE tasks SET sha256 = 'kept'")
    changed = replace(task, md5=None, slices=task.slices + 1)
    table.save(changed, over=task)
    table.add(new_task())
    assert table.get(task.id) == changed
    assert [row[0] for row in execute(database_uri, "SELECT sha256 FROM tasks WHERE sha256 IS NOT NULL")] == ["kept"]


def test_people_find_the_fields_they_know(database_uri: str) -> None:
    running, table = new_task(email="someone@example.org").claimed(NOW, 90.0), SqlTaskTable(database_uri)
    table.add(running)
    done = running.done("f" * 32, 7, NOW)
    known = "SELECT id, url, email, md5, complete FROM tasks"
    assert execute(database_uri, known)[0] == (running.id, running.url, running.email, None, 0)
    table.save(done, over=running)
    assert execute(database_uri, known)[0] == (done.id, done.url, done.email, "f" * 32, 1)


@pytest.mark.parametrize(
    ("call", "index"),
    [
        ("due_at <= 1.0 ORDER BY due_at", "due_at"),
        ("continued = 1 AND due_at <= 1.0 ORDER BY due_at", "continued_due_at"),
        ("expires_at <= 1", "expires_at"),
    ],
)
def test_sweeps_use_an_index(sqlite_database: str, call: str, index: str) -> None:
    plan = execute(sqlite_database, f"EXPLAIN QUERY PLAN SELECT id FROM tasks WHERE {call} LIMIT 10")
    assert f"ix_tasks_{index} " in str(plan)
    assert "SCAN" not in str(plan)
    assert "TEMP B-TREE" not in str(plan)  # sorted by the index


def test_the_directory_of_a_sqlite_file_is_made_but_only_when_it_is_needed(tmp_path: Path) -> None:
    table = SqlTaskTable(f"sqlite:///{tmp_path}/a/b/urlsum.db")
    assert not (tmp_path / "a").exists()
    assert_unavailable(table, "make migrate")
    assert (tmp_path / "a/b/urlsum.db").exists()


def test_a_mysql_database_without_the_schema_says_what_to_do(empty_mysql_database: str) -> None:
    assert_unavailable(SqlTaskTable(empty_mysql_database), "make migrate")


def test_a_database_of_an_older_version_says_what_to_do(database_uri: str) -> None:
    execute(database_uri, "ALTER TABLE tasks DROP COLUMN restarts")
    table, task = SqlTaskTable(database_uri), new_task()
    for call in (lambda: table.add(task), lambda: table.get(task.id), lambda: table.save(task, over=task)):
        with pytest.raises(TableUnavailable, match="make migrate"):
            call()


def test_a_dead_server_is_an_outage_and_its_password_stays_secret(unused_port: int) -> None:
    table = SqlTaskTable(f"mysql+pymysql://urlsum:hunter2@127.0.0.1:{unused_port}/urlsum")
    assert_unavailable(table, "does not answer(?!.*hunter2)")


def test_a_missing_mysql_database_is_an_outage(empty_mysql_database: str) -> None:
    assert_unavailable(SqlTaskTable(empty_mysql_database + "_missing"), "does not answer")


def test_a_directory_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_unavailable(SqlTaskTable(f"sqlite:///{tmp_path}/file/urlsum.db"), "does not answer")


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "urlsum.db").write_text("not a database" * 1000)
    assert_unavailable(SqlTaskTable(f"sqlite:///{tmp_path}/urlsum.db"), "does not answer")


def test_a_sqlite_file_that_stays_locked_is_an_outage_and_recovers(
    sqlite_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urlsum.tables.engine.SQLITE_BUSY_SECONDS", 0.2)
    table, task = SqlTaskTable(sqlite_database), new_task()
    with connected(sqlite_database) as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(TableUnavailable, match="locked"):
            table.add(task)
        assert 0.2 <= time.monotonic() - begun < 5
        assert table.due(NOW, 1) == []  # readers do not wait for the writer
        holder.exec_driver_sql("ROLLBACK")
    table.add(task)
    assert table.get(task.id) == task


@pytest.mark.parametrize(
    "uri",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:hunter2@h/d",
        "mysql://u:hunter2@h/d",
        "mysql+pymysql://h",
    ],
)
def test_a_wrong_uri_names_the_setting_and_hides_the_password(uri: str) -> None:
    with pytest.raises(SettingsError, match=r"\ADATABASE_URI: ") as caught:
        SqlTaskTable(uri)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite:///FILE", "mysql+pymysql://u:p@h/d"])
def test_no_engine_shows_values_in_its_errors(uri: str) -> None:
    assert create_engine(uri).hide_parameters


@pytest.mark.parametrize(("timeout", "mysql", "sqlite"), [(None, 10, 10.0), (77.0, 77.0, 77.0)])
def test_every_wait_for_a_database_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, timeout: float | None, mysql: float, sqlite: float
) -> None:
    monkeypatch.chdir(tmp_path)  # a connection creates the file
    given: list[dict[str, object]] = []

    def connect(dialect: object, record: object, arguments: object, options: dict[str, object]) -> None:
        given.append(options)
        raise OSError("nobody is there")

    engines = [create_engine(uri, timeout=timeout) for uri in ("sqlite:///FILE", "mysql+pymysql://u:p@h/d")]
    for made in engines:
        event.listen(made, "do_connect", connect)
        with pytest.raises(OSError, match="nobody"):
            made.connect()
        assert isinstance(made.pool, sa.QueuePool)
        assert (made.pool.size(), made.pool._max_overflow, made.pool._timeout) == (5, 10, 5.0)
        assert made.dialect._on_connect_isolation_level == "AUTOCOMMIT"
        assert made.dialect.skip_autocommit_rollback
    assert given[0]["timeout"] == sqlite
    times = {"connect_timeout": 5, "read_timeout": mysql, "write_timeout": mysql, "charset": "utf8mb4"}
    assert given[1].items() >= times.items()
    # A connection that the server closed meanwhile is noticed before it is used. A file closes nothing.
    assert [made.pool._pre_ping for made in engines] == [False, True]


def test_an_error_carries_nothing_of_the_task_along(database_uri: str) -> None:
    execute(database_uri, "DROP TABLE tasks")
    table = SqlTaskTable(database_uri)
    task: Task = full_task(url="https://example.org/secret", email="someone@example.org")
    for call in (
        lambda: table.add(task),
        lambda: table.get(task.id),
        lambda: table.save(task, over=task),
        lambda: table.save(task, over=task, lease_before=NOW),
        lambda: table.remove(task),
        lambda: table.due(NOW, 1),
        lambda: list(table.overdue(NOW, 1)),
        lambda: table.purge(NOW, 1),
    ):
        with pytest.raises(TableUnavailable) as caught:
            call()
        told = "".join(traceback.format_exception(caught.value, chain=True))
        assert not any(text in told for text in ("secret", "someone", task.id, str(task.md5), "5f-abc"))


@pytest.mark.parametrize("zone", ["SYSTEM", "-07:00"])
def test_mysql_tells_its_time_in_any_zone(empty_mysql_database: str, zone: str) -> None:
    uri = sa.make_url(empty_mysql_database).update_query_dict({"init_command": f"SET time_zone = '{zone}'"})
    database = Database(uri.render_as_string(hide_password=False))
    before = time.time()
    told = [database.time() for _ in range(3)]
    database.close()
    assert all(second is not None and before - 0.5 <= second <= time.time() + 0.5 for second in told)
    assert any(second % 1 for second in told if second is not None)  # finer than a second


def test_sqlite_has_the_clock_of_this_machine(sqlite_database: str) -> None:
    database = Database(sqlite_database)
    assert database.time() is None
    database.close()
