"""The database of the SQL adapters: single statements on SQLite or on a MySQL server."""

from __future__ import annotations

import weakref
from typing import Any

import sqlalchemy as sa

from urlsum.tables import engine
from urlsum.tables.engine import translate_errors
from urlsum.tables.sqlite import SqliteFile

metadata = sa.MetaData()

# Both are the time at which the statement began. Not UNIX_TIMESTAMP(NOW(6)): NOW is in the session's zone, and names
# one hour of the year twice.
_TIME = sa.select(
    sa.func.unix_timestamp().label("seconds"),
    sa.func.microsecond(sa.func.utc_timestamp(6)).label("microseconds"),
)


class Database:
    """Executes single statements, each a transaction of its own. Safe for many threads.

    The tables of one process share it. It opens its connections at the first statement. ``timeout`` as in
    ``create_engine``. Raises SettingsError on an unsupported URI.
    """

    def __init__(self, database_uri: str, *, timeout: float | None = None) -> None:
        sql = engine.create_engine(database_uri, timeout=timeout)
        self._store = (
            SqliteFile(sql, busy_timeout=engine.SQLITE_BUSY_SECONDS) if sql.dialect.name == "sqlite" else _Server(sql)
        )
        # No port has a close(): connections close with the last table, not when the garbage collector finds them.
        weakref.finalize(self, self._store.close)

    def read(self, statement: sa.Executable, values: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows by column name. Raises TableUnavailable."""
        with translate_errors():
            return self._store.read(statement, values)

    def write(self, statement: sa.Executable, values: dict[str, Any], *, durable: bool = True) -> int:
        """Commit ``statement`` and return how many rows it matched.

        A ``durable`` write is on disk once this returns. Any other survives the death of this process. Raises
        TableUnavailable, in doubt if no reply came, and SQLAlchemy's IntegrityError if a key is taken.
        """
        with translate_errors(writes=True):
            return self._store.write(statement, values, durable=durable)

    def time(self) -> float | None:
        """The server's clock, in seconds since the epoch; None for SQLite, which has this machine's.

        Raises TableUnavailable.
        """
        if isinstance(self._store, SqliteFile):
            return None
        [row] = self.read(_TIME, {})
        return float(row["seconds"]) + float(row["microseconds"]) / 1e6

    def close(self) -> None:
        """Close the connections."""
        self._store.close()


class _Server:
    """MySQL or MariaDB, through the connection pool."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def read(self, statement: sa.Executable, values: dict[str, Any]) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement, values).mappings()]

    def write(self, statement: sa.Executable, values: dict[str, Any], *, durable: bool) -> int:  # noqa: ARG002 - always
        with self._engine.connect() as connection:
            return connection.execute(statement, values).rowcount

    def close(self) -> None:
        self._engine.dispose()
