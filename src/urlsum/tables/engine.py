"""SQLAlchemy engines for SQLite and MySQL, and the translation of their errors into the port's."""

from __future__ import annotations

from contextlib import contextmanager
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
# A server that does not complete a TCP handshake within 5 s is down.
MYSQL_CONNECT_SECONDS = 5
# Every statement touches one row or one short index range. A server that needs 15 s is in trouble.
MYSQL_STATEMENT_SECONDS = 15
# A connection pool of up to 15 per process. A statement takes milliseconds, so the web server's 40 threads do not queue
# for long, and ten processes stay below MySQL's default max_connections of 151.
POOL_SIZE = 5
POOL_OVERFLOW = 10
POOL_WAIT_SECONDS = 5.0

# Signs that the schema does not fit this version: MySQL's error codes, SQLite's words.
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
MYSQL_NO_SUCH = frozenset({1054, 1146})
SQLITE_NO_SUCH = ("no such table", "no such column", "has no column named")


def create_engine(database_uri: str, *, timeout: float | None = None) -> sa.Engine:
    """An engine for the database, without a connection yet. Raises SettingsError on an unsupported URI.

    A statement may wait ``timeout`` seconds for locks and for the server; the default is the few seconds that a
    request can spare.
    """
    try:
        url = sa.make_url(database_uri)
    except ArgumentError:
        # Not chained, and not quoted: the URI may hold a password.
        raise SettingsError("DATABASE_URI: not a database URI; write for example sqlite:///data/urlsum.db") from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return _sqlite_engine(url, SQLITE_BUSY_SECONDS if timeout is None else timeout)
        case "sqlite":
            raise SettingsError("DATABASE_URI: an in-memory database forgets its tasks; name a file: sqlite:///FILE")
        case "mysql" if url.get_driver_name() == "pymysql" and url.database:
            return _mysql_engine(url, MYSQL_STATEMENT_SECONDS if timeout is None else timeout)
        case _:
            raise SettingsError("DATABASE_URI: write sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/DATABASE")


def _sqlite_engine(url: sa.URL, busy_seconds: float) -> sa.Engine:
    directory = Path(str(url.database)).parent
    engine = _pooled_engine(url, connect_args={"timeout": busy_seconds})

    @event.listens_for(engine, "do_connect")
    def _make_directory(*_: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - the DBAPI's connection has no type
        # A commit must survive a power failure: under WAL, NORMAL survives only kill -9. A caller that sets NORMAL must
        # sync the log itself (tables.sqlite).
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def _mysql_engine(url: sa.URL, statement_seconds: float) -> sa.Engine:
    # SQLAlchemy sets FOUND_ROWS, so an UPDATE reports the rows that its WHERE matched, even if no value changes.
    return _pooled_engine(
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
def translate_errors() -> Iterator[None]:
    """Translate SQLAlchemy's exceptions for an unavailable database into TableUnavailable.

    A violated constraint or a value that does not fit is not an outage, and passes through.
    """
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except DBAPIError as exc:
        if _is_schema_mismatch(exc.orig):
            raise TableUnavailable(f"the database lacks this version's schema; run `make migrate`: {exc.orig}") from exc
        raise TableUnavailable(f"the database does not answer: {exc.orig}") from exc
    except (PoolTimeout, OSError) as exc:
        raise TableUnavailable(f"the database does not answer: {exc}") from exc


def _is_schema_mismatch(error: BaseException | None) -> bool:
    message = str(error)
    return any(words in message for words in SQLITE_NO_SUCH) or (
        error is not None and bool(MYSQL_NO_SUCH.intersection(error.args[:1]))
    )
