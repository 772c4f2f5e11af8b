"""SQLite's side of the SQL table: kept connections, prepared statements, and group commit.

Hashing a small file takes about 1 ms; the database must not double that. SQLAlchemy compiles each statement once and
opens the connections; the statements then run on ``sqlite3`` directly.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from urlsum.tables.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

# Pauses between tries while another process writes; they double. SQLite itself would sleep for 1 ms at first, then 2, 5
# and 10 ms, ten to a hundred times as long as most writes, while all threads of this process wait behind.
FIRST_PAUSE_SECONDS = 0.0001
LONGEST_PAUSE_SECONDS = 0.01


class SqliteFile:
    """Executes single statements on one file, each a transaction of its own. Safe for many threads.

    A durable commit would hold the write lock during the fsync: some milliseconds, a hundred times as long as the write
    itself, and no other caller could claim or submit. So commits do not sync (under WAL, ``synchronous = NORMAL``: the
    operating system has the log). A group commit then syncs the log, without a lock, for all callers that wait.
    """

    def __init__(self, engine: sa.Engine, *, busy_timeout: float) -> None:
        # Separate connections, so that reads do not wait behind a write that waits for the write lock.
        self._reading = _LockedConnection(engine, busy_timeout)
        self._writing = _LockedConnection(engine, busy_timeout)
        self._group_commit = GroupCommit()

    def read(self, statement: sa.Executable, values: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows by column name. Raises SQLAlchemy's exceptions."""
        return self._reading.execute(statement, values)[1]

    def write(self, statement: sa.Executable, values: dict[str, Any], *, durable: bool) -> int:
        """Commit ``statement`` and return how many rows it matched. Raises SQLAlchemy's exceptions, and OSError.

        A ``durable`` write survives a power failure once this returns. Any other survives the death of this process,
        and reaches the disk with the next durable one.
        """
        try:
            matched, _ = self._writing.execute(statement, values)
        except IntegrityError:
            # The caller will now vouch for the existing row, but its writer may not have fsynced it yet.
            self._sync_log()
            raise
        if durable and matched:
            self._sync_log()
        return matched

    def _sync_log(self) -> None:
        if self._writing.log is not None:
            self._group_commit.sync(self._writing.log)

    def close(self) -> None:
        """Close the connections."""
        self._reading.close()
        self._writing.close()


class _Prepared(NamedTuple):
    """A compiled statement: ``names`` are its parameters in order, ``defaults`` the values that it brings along."""

    text: str
    names: list[str]
    defaults: dict[str, Any]


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the low byte of all its extended codes


class _LockedConnection:
    """One connection, used by one thread at a time: SQLite would make the other threads wait by sleeping.

    A thread waits up to ``busy_timeout`` seconds for its turn. SQLite waits as long for the file, so a longer wait
    means that another process holds the file's lock and does not release it.
    """

    log: str | None = None
    """Path of the file's write-ahead log; None if SQLite keeps none and syncs by itself."""

    def __init__(self, engine: sa.Engine, busy_timeout: float) -> None:
        self._engine = engine
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._prepared: dict[sa.Executable, _Prepared] = {}

    def execute(self, statement: sa.Executable, values: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """The number of rows that ``statement`` changed, and the rows that it returned."""
        with self._turn():
            text, names, defaults = self._prepared.get(statement) or self._prepare(statement, values)
            bound = defaults | values
            try:
                values_in_order = [bound[name] for name in names]
                cursor = self._execute(self._connection or self._connect(), text, values_in_order)
                rows = cursor.fetchall()
            except sqlite3.Error as exc:
                if not isinstance(exc, sqlite3.IntegrityError):
                    # A new connection may spare the next statement the same error.
                    self._disconnect()
                raise DBAPIError.instance(text, None, exc, sqlite3.Error, hide_parameters=True) from exc
            if not rows:
                return cursor.rowcount, []
            columns = [column[0] for column in cursor.description]
            return cursor.rowcount, [dict(zip(columns, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=self._busy_timeout):
            raise PoolTimeout("the file is locked by another process")
        try:
            yield
        finally:
            self._lock.release()

    def _execute(self, connection: sqlite3.Connection, text: str, values: list[Any]) -> sqlite3.Cursor:
        """Execute ``text``, which the connection keeps prepared, as soon as no other process writes."""
        try:
            return connection.execute(text, values)
        except sqlite3.OperationalError as exc:
            if not _is_busy(exc):
                raise
        until, pause = time.monotonic() + self._busy_timeout, FIRST_PAUSE_SECONDS
        while True:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                return connection.execute(text, values)
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc) or time.monotonic() >= until:
                    raise

    def _prepare(self, statement: sa.Executable, values: dict[str, Any]) -> _Prepared:
        compiled: Any = statement.compile(self._engine, column_keys=list(values))  # type: ignore[attr-defined]
        prepared = self._prepared[statement] = _Prepared(str(compiled), compiled.positiontup, compiled.params)
        return prepared

    def _connect(self) -> sqlite3.Connection:
        pooled = self._engine.raw_connection()
        pooled.detach()
        connection: sqlite3.Connection = pooled.dbapi_connection  # type: ignore[assignment] # SQLite's driver
        self._connection = connection
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute("PRAGMA synchronous = NORMAL")
            # A statement that meets a writer has had no effect yet. Without a log it may have: SQLite waits itself.
            connection.execute("PRAGMA busy_timeout = 0")
            self.log = connection.execute("PRAGMA database_list").fetchone()[2] + "-wal"
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
