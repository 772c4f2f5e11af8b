"""The task table in an SQL database: SQLite on one machine, MySQL or MariaDB for more.

Every method is one statement, which the database makes atomic by itself, under every isolation level. On MySQL it runs
in autocommit mode, as a transaction around it would only add round trips; on SQLite those of several threads share one.
The schema is made by ``selfhost.migrate``.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from urlsum.errors import LeaseLost, SettingsError, TableUnavailable, TaskExists, TaskNotFound
from urlsum.tables.commits import Commits
from urlsum.tables.rows import from_row, to_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.task import Task

# Waiting for another writer of the same SQLite file. A write holds the lock for one fsync, so this covers hundreds
# of writers in a row and still answers 503 before a caller gives up (API clients and proxies wait 30 s or more).
SQLITE_BUSY_SECONDS = 10.0
# A server that has not answered a TCP handshake after 5 s is down.
MYSQL_CONNECT_SECONDS = 5
# Every statement touches one row or one short index range. 15 s is a server in trouble.
MYSQL_STATEMENT_SECONDS = 15
# Up to 15 connections in one process: a statement takes milliseconds, so the web server's 40 threads share them
# without queueing for long, and ten processes stay below MySQL's default max_connections of 151.
POOL_SIZE = 5
POOL_OVERFLOW = 10
POOL_WAIT_SECONDS = 5.0

# How the two say that the schema is not the one this version was written for: server error codes, and words.
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
MYSQL_NO_SUCH = frozenset({1054, 1146})
SQLITE_NO_SUCH = ("no such table", "no such column", "has no column named")

metadata = sa.MetaData()

# Compared byte by byte, also by a server whose default holds "a" and "A" for the same.
_Id = sa.String(36).with_variant(mysql.VARCHAR(36, charset="ascii", collation="ascii_bin"), "mysql")
# A double carries a Python float through unchanged; MySQL's FLOAT and DECIMAL do not.
_Float: sa.Double[float] = sa.Double()

# A new column must be nullable or have a server default: the version before this one goes on inserting rows.
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    # TEXT holds 64 KB, a URL is at most 8 KB.
    sa.Column("url", sa.Text(), nullable=False),
    sa.Column("email", sa.Text()),
    sa.Column("md5", sa.String(32)),
    sa.Column("complete", sa.Boolean(), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("size", sa.BigInteger()),
    sa.Column("offset", sa.BigInteger()),
    sa.Column("md5_state", sa.LargeBinary()),
    sa.Column("validator", sa.Text()),
    sa.Column("rate", _Float),
    sa.Column("fence", sa.Integer(), nullable=False),
    sa.Column("lease_until", _Float, nullable=False),
    sa.Column("due_at", _Float, index=True),
    sa.Column("not_before", _Float),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("slices", sa.Integer(), nullable=False),
    sa.Column("restarts", sa.Integer(), nullable=False),
    sa.Column("received", sa.BigInteger()),
    sa.Column("error_code", sa.String(16)),
    sa.Column("error_message", sa.Text()),
    sa.Column("mail", sa.String(16), nullable=False),
    sa.Column("expected_md5", sa.String(32)),
    sa.Column("created_at", _Float, nullable=False),
    sa.Column("updated_at", _Float, nullable=False),
    sa.Column("finished_at", _Float),
    sa.Column("expires_at", sa.BigInteger(), nullable=False, index=True),
    # Whatever the server's and the database's defaults are. Only InnoDB loses nothing in a crash.
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)

# Built once: building a statement of this many columns takes longer than SQLite takes to execute it.
_UNCHANGED = (
    tasks.c.id == sa.bindparam("before_id"),
    tasks.c.fence == sa.bindparam("before_fence"),
    tasks.c.status == sa.bindparam("before_status"),
)
_INSERT = sa.insert(tasks)
_UPDATE = sa.update(tasks).where(*_UNCHANGED)
_CLAIM = _UPDATE.where(tasks.c.lease_until < sa.bindparam("lease_before"))
_DELETE = sa.delete(tasks).where(*_UNCHANGED)
_SELECT = sa.select(tasks).where(tasks.c.id == sa.bindparam("wanted"))
_DUE = (
    sa.select(tasks.c.id)
    .where(tasks.c.due_at <= sa.bindparam("before"))
    .order_by(tasks.c.due_at)
    .limit(sa.bindparam("most"))
)


def engine(database_uri: str, *, wait: float | None = None) -> sa.Engine:
    """An engine for the database, which it does not contact yet. Raises SettingsError on a URI of another kind.

    ``wait`` is how many seconds a statement may wait for locks and for the server, instead of the few that a request
    can spare.
    """
    try:
        url = sa.make_url(database_uri)
    except ArgumentError:
        # Not chained, and not quoted: the URI may hold a password.
        raise SettingsError("DATABASE_URI: not a database URI; write for example sqlite:///data/urlsum.db") from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return _sqlite(url, SQLITE_BUSY_SECONDS if wait is None else wait)
        case "sqlite":
            raise SettingsError("DATABASE_URI: a database in memory forgets its tasks; name a file, sqlite:///FILE")
        case "mysql" if url.get_driver_name() == "pymysql" and url.database:
            return _mysql(url, MYSQL_STATEMENT_SECONDS if wait is None else wait)
        case _:
            raise SettingsError("DATABASE_URI: write sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/DATABASE")


def _sqlite(url: sa.URL, busy_seconds: float) -> sa.Engine:
    directory = Path(str(url.database)).parent
    made = _create(url, connect_args={"timeout": busy_seconds})

    @event.listens_for(made, "do_connect")
    def _make_directory(*_: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)

    @event.listens_for(made, "connect")
    def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - the DBAPI's connection has no type
        # An id is answered once its row is committed, and it must outlive the power cord too: under WAL, NORMAL
        # would keep it through kill -9 but not through that. It costs an fsync per write, of which there are few.
        connection.execute("PRAGMA synchronous = FULL")

    return made


def _mysql(url: sa.URL, statement_seconds: float) -> sa.Engine:
    # SQLAlchemy sets FOUND_ROWS, so that an UPDATE reports the rows that its WHERE found, also where the new
    # values are the old ones.
    return _create(
        url,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": MYSQL_CONNECT_SECONDS,
            "read_timeout": statement_seconds,
            "write_timeout": statement_seconds,
        },
        # A connection that the server closed (restart, wait_timeout) is replaced before it is used.
        pool_pre_ping=True,
    )


def _create(url: sa.URL, **arguments: Any) -> sa.Engine:  # noqa: ANN401 - handed on to SQLAlchemy as they are
    return sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_SECONDS,
        # Errors are logged: they must not carry URLs, e-mail addresses and MD5 states along.
        hide_parameters=True,
        **arguments,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLAlchemy raises when the database does not answer into TableUnavailable.

    A broken constraint or a value that does not fit is not an outage, and is left as it is.
    """
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except DBAPIError as exc:
        if _unmigrated(exc.orig):
            raise TableUnavailable(f"the database lacks this version's schema, run `make migrate`: {exc.orig}") from exc
        raise TableUnavailable(f"the database does not answer: {exc.orig}") from exc
    except (PoolTimeout, OSError) as exc:
        raise TableUnavailable(f"the database does not answer: {exc}") from exc


def _unmigrated(error: BaseException | None) -> bool:
    words = str(error)
    return any(part in words for part in SQLITE_NO_SUCH) or (
        error is not None and bool(MYSQL_NO_SUCH.intersection(error.args[:1]))
    )


class SqlTaskTable:
    """Tasks as rows of one table. Safe for many threads and, on one database, many processes."""

    def __init__(self, database_uri: str) -> None:
        self._engine = engine(database_uri)
        self._commits = Commits(self._engine) if self._engine.dialect.name == "sqlite" else None
        # The port has no close(): the pool lives as long as the table, and not until the garbage collector finds it.
        weakref.finalize(self, self._engine.dispose)

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists."""
        try:
            with translated():
                self._write(_INSERT, to_row(task))
        except IntegrityError as exc:
            raise TaskExists(task.id) from exc

    def get(self, task_id: str) -> Task:
        """Read the task as last written. Raises TaskNotFound."""
        if not task_id.isascii():  # no id is, and MySQL refuses to compare the two
            raise TaskNotFound(task_id)
        with translated(), self._engine.connect() as connection:
            row = connection.execute(_SELECT, {"wanted": task_id}).mappings().one_or_none()
        # MySQL pads with blanks before it compares: "x" finds "x " too.
        if row is None or row["id"] != task_id:
            raise TaskNotFound(task_id)
        return from_row(dict(row))

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over`` by ``task``. Raises LeaseLost when another write came between.

        When the connection breaks, the write may have taken place all the same, and its caller, told
        TableUnavailable, may try again and meet LeaseLost. It then stops without having written anything more: what
        is stored is a whole row, either old or new, and comes up again when its lease lapses.

        A result is on the disk before this returns. A claim and a checkpoint need not be: should the machine lose its
        power their holder is gone with them, and the row that is left says that the work is to be done again.
        """
        change, values = _UPDATE, {**to_row(task), **_before(over)}
        if lease_before is not None:
            change, values["lease_before"] = _CLAIM, lease_before
        with translated():
            found = self._write(change, values, durable=task.complete)
        if not found:
            raise LeaseLost(over.id)

    def remove(self, task: Task) -> None:
        """Delete ``task`` unless another write came between."""
        with translated():
            self._write(_DELETE, _before(task))

    def due(self, before: float, limit: int) -> list[str]:
        """Ids of tasks whose ``due_at`` is not after ``before``, the longest waiting first."""
        with translated(), self._engine.connect() as connection:
            return list(connection.execute(_DUE, {"before": before, "most": limit}).scalars())

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` tasks that have expired; return how many."""
        expired = sa.select(tasks.c.id).where(tasks.c.expires_at <= now).order_by(tasks.c.expires_at).limit(limit)
        # One select more around it than would be needed: MySQL takes no LIMIT directly inside IN.
        chosen = sa.select(expired.subquery("expired").c.id)
        with translated():
            return self._write(sa.delete(tasks).where(tasks.c.id.in_(chosen)))

    def _write(self, statement: sa.Executable, values: dict[str, Any] | None = None, *, durable: bool = True) -> int:
        if self._commits is not None:
            return self._commits.execute(statement, values, durable=durable)
        with self._engine.connect() as connection:
            return connection.execute(statement, values).rowcount


def _before(task: Task) -> dict[str, Any]:
    return {"before_id": task.id, "before_fence": task.fence, "before_status": task.status.value}
