"""SQLite's side of the SQL table: connections and statements that are kept, and a wait for the disk apart.

A task that is hashed within a millisecond must not take another one in the table. SQLAlchemy writes the statements,
once each, and opens the connections; beyond that nothing stands between them and the file.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from urlsum.tables.group_commit import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


class SqliteFile:
    """Executes single statements on one file, each a transaction of its own. Safe for many threads.

    A durable commit would hold the file's lock while it waits for the disk: some milliseconds, a hundred times as long
    as the write, in which nobody could claim or submit. So writes are committed without waiting (under WAL,
    ``synchronous = NORMAL``: they stand in the log, which the operating system has), and the log is written to the disk
    afterwards, without a lock, for all who then wait for it.
    """

    def __init__(self, engine: sa.Engine, *, patience: float) -> None:
        # A connection of its own for each, so that nobody who only reads waits while a write waits for the file's lock.
        self._reading = _Lane(engine, patience)
        self._writing = _Lane(engine, patience)
        self._disk = Disk()

    def read(self, statement: sa.Executable, values: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows by column name. Raises what SQLAlchemy does."""
        return self._reading.execute(statement, values)[1]

    def write(self, statement: sa.Executable, values: dict[str, Any], *, durable: bool) -> int:
        """Commit ``statement`` and return how many rows it found. Raises what SQLAlchemy does, and OSError.

        What is ``durable`` outlives the power cord from then on. Anything else outlives the death of this process,
        and reaches the disk with the next that is.
        """
        try:
            found, _ = self._writing.execute(statement, values)
        except IntegrityError:
            # The row that is in the way may be answered for now, and whoever made it may still be waiting for the disk.
            self._wait_for_disk()
            raise
        if durable and found:
            self._wait_for_disk()
        return found

    def _wait_for_disk(self) -> None:
        if self._writing.log is not None:
            self._disk.wait_for(self._writing.log)

    def close(self) -> None:
        """Close the connections."""
        self._reading.close()
        self._writing.close()


class _Prepared(NamedTuple):
    """A statement as SQLite takes it: ``names`` are its parameters in order, ``given`` those with a value already."""

    text: str
    names: list[str]
    given: dict[str, Any]


class _Lane:
    """One connection, used by one thread at a time: SQLite would let threads wait for one another by sleeping.

    Who waits for it longer than ``patience`` seconds, which is also how long SQLite waits for the file, has waited for
    another process that does not let go of it.
    """

    log: str | None = None
    """The write-ahead log of the file; None where SQLite keeps none and waits for the disk itself."""

    def __init__(self, engine: sa.Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._prepared: dict[sa.Executable, _Prepared] = {}

    def execute(self, statement: sa.Executable, values: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """How many rows ``statement`` changed, and those that it found."""
        with self._turn():
            text, names, given = self._prepared.get(statement) or self._prepare(statement, values)
            bound = given | values
            try:
                cursor = (self._connection or self._connect()).execute(text, [bound[name] for name in names])
                rows = cursor.fetchall()
            except sqlite3.Error as exc:
                if not isinstance(exc, sqlite3.IntegrityError):
                    # The next statement shall not meet what this one met if a new connection can avoid it.
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
        if not self._lock.acquire(timeout=self._patience):
            raise PoolTimeout("the file is locked by another process")
        try:
            yield
        finally:
            self._lock.release()

    def _prepare(self, statement: sa.Executable, values: dict[str, Any]) -> _Prepared:
        compiled: Any = statement.compile(self._engine, column_keys=list(values))  # type: ignore[attr-defined]
        made = self._prepared[statement] = _Prepared(str(compiled), compiled.positiontup, compiled.params)
        return made

    def _connect(self) -> sqlite3.Connection:
        pooled = self._engine.raw_connection()
        pooled.detach()
        connection: sqlite3.Connection = pooled.dbapi_connection  # type: ignore[assignment] # SQLite's driver
        self._connection = connection
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute("PRAGMA synchronous = NORMAL")
            self.log = connection.execute("PRAGMA database_list").fetchone()[2] + "-wal"
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
