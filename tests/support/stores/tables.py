"""Sample tasks, and databases that last as long as a test."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from selfhost.migrate import upgrade
from urlsum.errors import FailureCode
from urlsum.tables.engine import create_engine
from urlsum.task import Checkpoint, Failure, Mail, Proof, Representation, Status, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MYSQL = os.environ.get("URLSUM_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/")
NOW = 1_795_000_000.123457  # microseconds, as the clock returns them: the store must keep them exactly

REPRESENTATION = Representation(
    name="größe \U0001f600\n.bam",
    final_url="https://cdn.example.org/a.bam?X-Amz-Signature=abc%2F",
    content_type="application/octet-stream",
    etag='W/"5f-\xe9"',
    last_modified=NOW - 86400.5,
    proof=Proof.LAST_MODIFIED,
    notes=("transformed", "content-encoding"),
)


def new_task(**changes: Any) -> Task:
    """Return a task as submit() creates it, with a new id and the given changes."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "url": "https://example.org/a.bam",
        "created_at": NOW,
        "updated_at": NOW,
        "due_at": NOW,
        "expires_at": int(NOW) + 30 * 86400,
    }
    return Task(**{**values, **changes})


def full_task(**changes: Any) -> Task:
    """Return a task with a value in every field."""
    values: dict[str, Any] = {
        "email": "someone@example.org",
        "expected_md5": "0" * 32,
        "status": Status.RUNNING,
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
        "size": 5 * 2**40,
        "checkpoint": Checkpoint(2**40 + 64, bytes(range(24)), '{"etag": "\\"5f-abc\\""}'),
        "representation": REPRESENTATION,
        "rate": 123456789.98765433,
        "fence": 41,
        "lease_until": NOW + 90.1,
        "not_before": NOW - 0.1,
        "attempts": 2,
        "slices": 1234,
        "restarts": 1,
        "received": 6 * 2**40,
        "resumed_from": 4 * 2**40,
        "error": Failure(FailureCode.TIMEOUT, "the origin was silent for 30 s: Grüße, 世界, \U0001f600"),
        "mail": Mail.PENDING,
        "finished_at": NOW + 0.000001,
        "client": "2001:db8:0:1::/64",
        "network": "2001:db8::/48",
        "fresh": True,
        "reused_at": NOW - 3600.25,
        "continued": True,
        "file_key": "5f" * 32,
    }
    return new_task(**{**values, **changes})


@contextmanager
def connected(database_uri: str) -> Iterator[sa.Connection]:
    """Yield a connection like the adapter's own."""
    database = create_engine(database_uri)
    try:
        with database.connect() as connection:
            yield connection
    finally:
        database.dispose()


def execute(database_uri: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement, bypassing the adapter; return its rows."""
    with _bypass(database_uri).begin() as connection:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


# Two databases are the most that a test uses, and an engine for each statement would ask for the server's properties
# each time.
@lru_cache(maxsize=2)
def _bypass(database_uri: str) -> sa.Engine:
    return _unpooled(database_uri)


def sqlite_uri(directory: Path) -> str:
    """Return the URI of a migrated SQLite file in ``directory``, which has none yet."""
    path = directory / "urlsum.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated_sqlite())
    return f"sqlite:///{path}"


@cache
def _migrated_sqlite() -> bytes:
    """A file that was migrated once in this process: a copy takes a hundredth of the time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "urlsum.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@contextmanager
def mysql_database(statements: Sequence[str] = ()) -> Iterator[str]:
    """Yield the URI of a MySQL or MariaDB database and drop it afterwards; skip without a server.

    It is empty but for what ``statements`` make in it.
    """
    server = _mysql_server()
    name = f"urlsum_test_{uuid.uuid4().hex}"
    try:
        with server.connect() as connection:
            # A default that treats "a" and "A" as equal and lacks most characters: the tables must not depend on it.
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET latin1 COLLATE latin1_swedish_ci")
            for statement in (f"USE {name}", *statements) if statements else ():
                connection.exec_driver_sql(statement)
    except sa.exc.OperationalError as exc:
        pytest.skip(f"no MySQL or MariaDB answers at {server.url!r} (URLSUM_TEST_MYSQL): {exc.orig}")
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")


@cache
def _mysql_server() -> sa.Engine:
    """One engine, since each asks the server for its properties at its first connection."""
    return _unpooled(MYSQL, isolation_level="AUTOCOMMIT")


def _unpooled(database_uri: str, **options: Any) -> sa.Engine:
    # PyMySQL would read every CA of the machine for each connection.
    plain = {"ssl_disabled": True} if database_uri.startswith("mysql") else {}
    return sa.create_engine(database_uri, poolclass=sa.NullPool, connect_args=plain, **options)


@contextmanager
def migrated_mysql_database() -> Iterator[str]:
    """Yield the URI of a migrated database as above; its tables are copies of those that were migrated once."""
    with mysql_database(_migrated_mysql()) as uri:
        yield uri


@cache
def _migrated_mysql() -> tuple[str, ...]:
    """Statements that make what the migrations make: three instead of twenty."""
    with mysql_database() as uri:
        revision = upgrade(uri)
        tables = [name for (name,) in execute(uri, "SHOW TABLES")]
        made = [execute(uri, f"SHOW CREATE TABLE {name}")[0][1] for name in tables]
    return (*_escaped(made), _revised(revision))


def _escaped(statements: Sequence[str]) -> list[str]:
    return [statement.replace("%", "%%") for statement in statements]


def _revised(revision: str) -> str:
    return f"INSERT INTO alembic_version VALUES ('{revision}')"


# Databases of this process that no test uses now.
_idle: list[tuple[str, ExitStack]] = []


@contextmanager
def shared_mysql_database() -> Iterator[str]:
    """Yield the URI of a migrated database without rows, which a later test gets as well.

    A test that counts connections, or whose statements may end after it, needs one of its own. What a test made of
    the schema is dropped with the database.
    """
    if not _idle:
        with ExitStack() as made:
            uri = made.enter_context(migrated_mysql_database())
            _idle.append((uri, made.pop_all()))
    uri, made = _idle.pop()
    with made:
        yield uri
        if _emptied(uri):
            _idle.append((uri, made.pop_all()))


def drop_shared_databases() -> None:
    """Drop the databases that the tests of this process shared."""
    while _idle:
        _, made = _idle.pop()
        made.close()


def _emptied(database_uri: str) -> bool:
    """Whether the database is as it was migrated, now that it has no rows."""
    with _mysql_server().connect() as connection:
        connection.exec_driver_sql(f"USE {sa.make_url(database_uri).database}")
        names = [name for (name,) in connection.exec_driver_sql("SHOW TABLES")]
        made = [connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1] for name in names]
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        if (*_escaped(made), _revised(revision)) != _migrated_mysql():
            return False
        for name in names:
            if name != "alembic_version":
                connection.exec_driver_sql(f"DELETE FROM {name}")
    return True
