"""An SQL database: how SQLite and MySQL are opened, and what they raise in the terms of the port."""

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

# Waiting for another writer of the same SQLite file, and as long again for the threads of this process. A write holds
# the lock for far less than a millisecond, a checkpoint of the log for some: this covers thousands of writers in a row
# and still answers 503 before a caller gives up (API clients and proxies wait 30 s or more).
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
            raise SettingsError("DATABASE_URI: an in-memory database forgets its tasks; name a file: sqlite:///FILE")
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
        # What is committed must outlive the power cord too: under WAL, NORMAL would keep it through kill -9 but not
        # through that. Who chooses otherwise sees to the disk himself (tables.sqlite).
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
            raise TableUnavailable(f"the database lacks this version's schema; run `make migrate`: {exc.orig}") from exc
        raise TableUnavailable(f"the database does not answer: {exc.orig}") from exc
    except (PoolTimeout, OSError) as exc:
        raise TableUnavailable(f"the database does not answer: {exc}") from exc


def _unmigrated(error: BaseException | None) -> bool:
    words = str(error)
    return any(part in words for part in SQLITE_NO_SUCH) or (
        error is not None and bool(MYSQL_NO_SUCH.intersection(error.args[:1]))
    )
