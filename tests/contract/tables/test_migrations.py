"""The migrations make the schema that the adapter expects, from wherever they start and however many start at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from selfhost import migrate
from selfhost.migrate import upgrade
from tests.support.stores.tables import connected, execute, full_task, new_task
from urlsum.errors import TableUnavailable
from urlsum.tables.rows import to_row
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import metadata

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.task import Task

HEAD = "0008"
# Four processes that migrate at the same moment. The forks save three times the imports.
SERVERS = """
import os, sys
import pymysql
from selfhost.migrate import upgrade

ready, go = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(go)
        os.read(ready, 1)
        # One write, so that lines of several processes do not mix.
        sys.stdout.write(upgrade(sys.argv[1]) + "\\n")
        break
else:
    os.close(go)
    sys.exit(any([os.wait()[1] for _ in range(4)]))
"""


@pytest.fixture(params=["sqlite", "mysql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/urlsum.db"
    uri: str = request.getfixturevalue("empty_mysql_database")
    return uri


def names(database_uri: str) -> set[str]:
    return set(sa.inspect(sa.create_engine(database_uri, poolclass=sa.NullPool)).get_table_names())


def schema(database_uri: str) -> dict[str, str]:
    """What makes each table of a MySQL database."""
    return {name: execute(database_uri, f"SHOW CREATE TABLE {name}")[0][1] for name in names(database_uri)}


def assert_usable(database_uri: str) -> None:
    table, task = SqlTaskTable(database_uri), full_task()
    table.add(task)
    assert table.get(task.id) == task


def test_an_empty_database_gets_exactly_the_schema_of_the_adapter(empty_database: str) -> None:
    assert upgrade(empty_database) == HEAD
    with connected(empty_database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    assert_usable(empty_database)


def test_the_copy_that_tests_get_has_the_schema_of_the_migrations(
    empty_mysql_database: str, migrated_mysql_database: str
) -> None:
    upgrade(empty_mysql_database)
    assert schema(migrated_mysql_database) == schema(empty_mysql_database)
    assert upgrade(migrated_mysql_database) == HEAD


def test_a_second_upgrade_changes_nothing_and_loses_nothing(empty_database: str) -> None:
    upgrade(empty_database)
    task = full_task()
    SqlTaskTable(empty_database).add(task)
    assert upgrade(empty_database) == HEAD
    assert SqlTaskTable(empty_database).get(task.id) == task


def test_down_to_the_base_and_up_again(empty_database: str) -> None:
    upgrade(empty_database)
    with connected(empty_database) as connection:
        command.downgrade(migrate.config(connection), "base")
    assert names(empty_database) == {"alembic_version"}
    assert execute(empty_database, "SELECT * FROM alembic_version") == []
    assert upgrade(empty_database) == HEAD
    assert_usable(empty_database)


def revisions() -> list[str]:
    """Return every schema that there ever was but the newest, the oldest first."""
    scripts = ScriptDirectory(str(migrate.MIGRATIONS))
    return [script.revision for script in scripts.walk_revisions()][:0:-1]


@pytest.mark.parametrize("revision", revisions())
def test_from_each_earlier_schema_up_and_down_and_up_again_no_task_is_lost(empty_database: str, revision: str) -> None:
    with connected(empty_database) as connection:
        command.upgrade(migrate.config(connection), revision)
    task = new_task(email="someone@example.org")
    _insert_as_of_then(empty_database, task)
    assert upgrade(empty_database) == HEAD
    assert SqlTaskTable(empty_database).get(task.id) == task
    with connected(empty_database) as connection:
        command.downgrade(migrate.config(connection), revision)
    assert execute(empty_database, "SELECT version_num FROM alembic_version") == [(revision,)]
    assert upgrade(empty_database) == HEAD
    assert SqlTaskTable(empty_database).get(task.id) == task
    with connected(empty_database) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def _insert_as_of_then(database_uri: str, task: Task) -> None:
    """Insert what a version of that schema would: the columns that there are, as they are."""
    with connected(database_uri) as connection:
        then = sa.Table("tasks", sa.MetaData(), autoload_with=connection)
        row = {name: value for name, value in to_row(task).items() if name in then.columns}
        connection.execute(sa.insert(then).values(row))


@pytest.mark.timeout(60)
def test_servers_that_start_at_once_migrate_one_after_the_other(empty_database: str) -> None:
    servers = subprocess.run(
        [sys.executable, "-W", "error", "-c", SERVERS, empty_database],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert servers.stdout.split() == [HEAD] * 4
    assert execute(empty_database, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert_usable(empty_database)


def test_whoever_waits_too_long_for_the_lock_gives_up(empty_database: str) -> None:
    with (
        connected(empty_database) as connection,
        migrate._alone(connection, 1),
        pytest.raises(TableUnavailable, match=r"locked|another process is migrating"),
    ):
        upgrade(empty_database, lock_seconds=0.2)
    assert upgrade(empty_database) == HEAD


def test_a_migration_that_was_cut_on_mysql_starts_over(empty_mysql_database: str) -> None:
    upgrade(empty_mysql_database)
    execute(empty_mysql_database, "DROP INDEX ix_tasks_expires_at ON tasks")
    execute(empty_mysql_database, "DELETE FROM alembic_version")
    assert upgrade(empty_mysql_database) == HEAD
    with connected(empty_mysql_database) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_migration_that_fails_on_sqlite_leaves_nothing_behind(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/urlsum.db"
    execute(uri, "CREATE TABLE other (x)")
    execute(uri, "CREATE INDEX ix_tasks_expires_at ON other (x)")  # the last statement of the migration collides
    with pytest.raises(TableUnavailable, match="ix_tasks_expires_at"):
        upgrade(uri)
    assert names(uri) == {"other"}
    execute(uri, "DROP INDEX ix_tasks_expires_at")
    assert upgrade(uri) == HEAD


def test_a_newer_schema_is_left_alone_by_a_version_that_was_rolled_back_to(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(empty_database)
    execute(empty_database, "UPDATE alembic_version SET version_num = '9999'")
    assert upgrade(empty_database) == "9999"
    assert "newer than this version" in caplog.text
    assert_usable(empty_database)


def test_mysql_compares_ids_by_byte_and_keeps_any_character(empty_mysql_database: str) -> None:
    upgrade(empty_mysql_database)
    columns = dict(
        execute(
            empty_mysql_database,
            "SELECT column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'tasks' AND collation_name IS NOT NULL",
        )
    )
    assert columns.pop("id") == "ascii_bin"
    assert set(columns.values()) == {"utf8mb4_bin"}
    engines = "SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'tasks'"
    assert execute(empty_mysql_database, engines) == [("InnoDB",)]


def test_a_dead_server_is_an_outage(unused_port: int) -> None:
    with pytest.raises(TableUnavailable, match="does not answer"):
        upgrade(f"mysql+pymysql://root@127.0.0.1:{unused_port}/urlsum")


def test_the_command_migrates_the_database_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URI", f"sqlite:///{tmp_path}/data/urlsum.db")
    assert migrate.main() == 0
    assert capsys.readouterr().out == f"urlsum: sqlite:///{tmp_path}/data/urlsum.db has schema {HEAD}\n"
    assert_usable(f"sqlite:///{tmp_path}/data/urlsum.db")


def test_the_command_says_in_one_line_what_is_wrong(
    unused_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URI", f"mysql+pymysql://u:hunter2@127.0.0.1:{unused_port}/urlsum")
    assert migrate.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("urlsum: the database does not answer: ")
    assert error.count("\n") == 1
    assert "hunter2" not in error
