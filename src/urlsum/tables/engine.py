"""SQLAlchemy engines for SQLite and MySQL, and the translation of their errors into the port's."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from urlsum.errors import SettingsError, TableUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# Busy time-out: the wait for other processes that write the same SQLite file, and as long again for the threads of this
# process. A write holds the write lock for far less than 1 ms, a checkpoint of the log for some ms. So 10 s cover
# thousands of writers in a row, and the response is 503 before callers time out (API clients and proxies wait 30 s or
# more).
SQLITE_BUSY_SECONDS = 10.0
# Only the owner may read the file: it holds email addresses, and signed URLs, which grant access like a password.
SQLITE_MODE = 0o600
# A server that does not complete a TCP handshake within 5 s is down.
MYSQL_CONNECT_SECONDS = 5
# Every statement touches one row or one short index range. A server that needs 10 s is in trouble. A submission whose
# insert had no reply takes as long again to take it back, and clients and proxies wait for 30 s or more.
MYSQL_STATEMENT_SECONDS = 10
# A statement waits for locks for this share of that. The server then gives it up itself and says so; a statement that
# this side stops waiting for would be carried out later, when the lock is free.
MYSQL_LOCK_SHARE = 0.5
# A connection pool of up to 15 per process. A statement takes milliseconds, so the web server's 40 threads do not queue
# for long, and ten processes stay below MySQL's default max_connections of 151.
POOL_SIZE = 5
POOL_OVERFLOW = 10
POOL_WAIT_SECONDS = 5.0

# Signs that the schema does not fit this version: MySQL's error codes, SQLite's words.
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
MYSQL_NO_SUCH = frozenset({1054, 1146})
# MySQL numbers the errors of its clients from 2000 to 2999: the connection broke, or nothing came. All others are a
# reply, after which the statement has no effect, except those that name the network or the commit.
MYSQL_CLIENT_ERRORS = range(2000, 3000)
MYSQL_IN_DOUBT = frozenset({1158, 1159, 1160, 1161, 1180})
SQLITE_NO_SUCH = ("no such table", "no such column", "has no column named")


def create_engine(database_uri: str, *, timeout: float | None = None) -> sa.Engine:
    """An engine for the database, without a connection yet. Raises SettingsError on an unsupported URI.

    A statement may wait ``timeout`` seconds for locks and for the server; the default is the few seconds that a
    request can spare.
    """
    url = _parsed(database_uri)
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return _sqlite_engine(url, SQLITE_BUSY_SECONDS if timeout is None else timeout)
        case "sqlite":
            raise SettingsError("DATABASE_URI: an in-memory database forgets its tasks; name a file: sqlite:///FILE")
        case "mysql" if url.get_driver_name() == "pymysql" and url.database:
            return _mysql_engine(url, MYSQL_STATEMENT_SECONDS if timeout is None else timeout)
        case _:
            raise SettingsError("DATABASE_URI: write sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/DATABASE")


def shown(database_uri: str) -> str:
    """The URI for people: without its password and its query, where a driver takes passwords too."""
    return _parsed(database_uri).set(query={}).render_as_string(hide_password=True)


def _parsed(database_uri: str) -> sa.URL:
    """Raise SettingsError, neither chained nor with a quotation, because the URI may hold a password."""
    # SQLAlchemy takes the rest of the password for the host, and errors name hosts.
    if database_uri.count("@") > 1 and not database_uri.startswith("sqlite"):
        raise SettingsError("DATABASE_URI: write @ in a password as %40, or the password into DATABASE_PASSWORD")
    try:
        return sa.make_url(database_uri)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise SettingsError("DATABASE_URI: not a database URI; write for example sqlite:///data/urlsum.db") from None


def _sqlite_engine(url: sa.URL, busy_seconds: float) -> sa.Engine:
    path = Path(str(url.database))
    engine = _pooled_engine(url, connect_args={"timeout": busy_seconds})

    @event.listens_for(engine, "do_connect")
    def _make_file(*_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives the log and its index (-wal, -shm) the mode of the file: findCreateFileMode in its os_unix.c. The
        # mode of an existing file is its owner's choice. Only SQLite itself knows what a URI (file:…) names.
        if not path.exists() and not str(path).startswith("file:"):
            with suppress(FileExistsError):  # another process was faster
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, SQLITE_MODE))

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - the DBAPI's connection has no type
        # A commit must survive a power failure: under WAL, NORMAL survives only kill -9. A caller that sets NORMAL must
        # sync the log itself (tables.sqlite).
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def _mysql_engine(url: sa.URL, statement_seconds: float) -> sa.Engine:
    # SQLAlchemy sets FOUND_ROWS, so an UPDATE reports the rows that its WHERE matched, even if no value changes.
    engine = _pooled_engine(
        url,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": MYSQL_CONNECT_SECONDS,
            "read_timeout": statement_seconds,
            "write_timeout": statement_seconds,
        },
        # The pool replaces a connection that the server closed (restart, wait_timeout) before its next use.
        pool_pre_ping=True,
    )
    seconds = max(1, int(statement_seconds * MYSQL_LOCK_SHARE))

    @event.listens_for(engine, "connect")
    def _bound_locks(connection: Any, _: object) -> None:  # noqa: ANN401 - the DBAPI's connection has no type
        # The first is for locks of tables, such as that of FLUSH TABLES WITH READ LOCK (by default a year on MySQL, a
        # day on MariaDB), the second for those of rows (50 s).
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION lock_wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}")

    return engine


def _pooled_engine(url: sa.URL, **arguments: Any) -> sa.Engine:  # noqa: ANN401 - passed to SQLAlchemy unchanged
    return sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_SECONDS,
        # The log has these errors: they must not contain URLs, email addresses or MD5 states.
        hide_parameters=True,
        **arguments,
    )


@contextmanager
def translate_errors(*, writes: bool = False) -> Iterator[None]:
    """Translate SQLAlchemy's exceptions for an unavailable database into TableUnavailable.

    It is in doubt if the block ``writes`` and the statement was sent without a reply. A violated constraint or a value
    that does not fit is not an outage, and passes through.
    """
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except DBAPIError as exc:
        if _is_schema_mismatch(exc.orig):
            raise TableUnavailable(f"the database lacks this version's schema; run `make migrate`: {exc.orig}") from exc
        raise TableUnavailable(
            f"the database does not answer: {exc.orig}", in_doubt=writes and _is_in_doubt(exc)
        ) from exc
    except (PoolTimeout, OSError) as exc:
        # An OSError is that of the group commit: the row is written, and may not be on the disk.
        in_doubt = writes and isinstance(exc, OSError)
        raise TableUnavailable(f"the database does not answer: {exc}", in_doubt=in_doubt) from exc


def _is_in_doubt(error: DBAPIError) -> bool:
    code = next(iter(error.orig.args if error.orig else ()), None)
    if error.statement is None or not isinstance(code, int):  # no connection, or SQLite, which undoes what it reports
        return False
    return code in MYSQL_CLIENT_ERRORS or code in MYSQL_IN_DOUBT or code == 0  # 0: PyMySQL's for a closed connection


def _is_schema_mismatch(error: BaseException | None) -> bool:
    message = str(error)
    return any(words in message for words in SQLITE_NO_SUCH) or (
        error is not None and bool(MYSQL_NO_SUCH.intersection(error.args[:1]))
    )
