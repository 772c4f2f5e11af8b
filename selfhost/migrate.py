"""Migrate the database to the schema of this version: ``python -m selfhost.migrate``."""

from __future__ import annotations

import hashlib
import logging
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import OperationalError

from urlsum import settings
from urlsum.errors import SettingsError, TableUnavailable, UrlsumError
from urlsum.tables.engine import create_engine, shown, translate_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("urlsum.migrate")

MIGRATIONS = Path(__file__).parent / "migrations"
# How long a second process waits for a running migration. Altering a table of millions of rows takes minutes.
LOCK_SECONDS = 600.0


def upgrade(database_uri: str, *, lock_seconds: float = LOCK_SECONDS) -> str:
    """Migrate to the newest schema and return its name; do nothing if the database has it, or a newer one.

    Processes that start at the same time migrate one after the other. Raises SettingsError on a URI of another kind,
    and TableUnavailable if the database does not answer or another process migrates for more than ``lock_seconds``.
    """
    database = create_engine(database_uri, timeout=lock_seconds)
    try:
        with translate_errors(), database.connect() as connection, _alone(connection, lock_seconds):
            return _upgrade(connection)
    finally:
        database.dispose()


def config(connection: sa.Connection) -> Config:
    """Alembic's configuration, for a connection that is already locked; there is no alembic.ini."""
    configuration = Config()
    # Config interpolates, so a per cent sign in the path has to be doubled.
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: sa.Connection) -> str:
    configuration = config(connection)
    scripts = ScriptDirectory.from_config(configuration)
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and not _known(scripts, present):
        # A rollback to this version. Migrations only add, so this version works with the newer schema.
        log.warning("the database has schema %s, which is newer than this version; leaving it as it is", present)
        return present
    command.upgrade(configuration, "head")
    return str(scripts.get_current_head())


def _known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        scripts.get_revision(revision)
    except CommandError:
        return False
    return True


@contextmanager
def _alone(connection: sa.Connection, lock_seconds: float) -> Iterator[None]:
    """Hold a migration lock of the database, which the death of the process releases."""
    if connection.dialect.name == "sqlite":
        # Under WAL readers and the writer do not block each other; the mode is stored in the file. Of two processes
        # that switch it at once one is refused, which does no harm.
        with suppress(OperationalError):
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # rolled back, whole, unless the commit below is reached
        yield
        connection.commit()
        return
    # Locks are the server's, names at most 64 characters: https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html
    name = "urlsum-migrate-" + hashlib.sha256(str(connection.engine.url.database).encode()).hexdigest()[:32]
    # Half of the time-out of the connection, so that the lock reports first.
    if connection.scalar(sa.select(sa.func.get_lock(name, lock_seconds / 2))) != 1:
        raise TableUnavailable("another process is migrating the database; try again when it is done")
    yield  # after an error the connection is closed, and the lock goes with it
    connection.scalar(sa.select(sa.func.release_lock(name)))


def main() -> int:
    """Migrate the database of ``DATABASE_URI``."""
    try:
        configured = settings.load()
        if configured.tasks_table:
            raise SettingsError("TASKS_TABLE: tasks are in DynamoDB, which needs no migration")
        schema = upgrade(configured.database_uri)
    except UrlsumError as exc:
        print(f"urlsum: {exc}", file=sys.stderr)  # noqa: T201 - a command line
        return 1
    print(f"urlsum: {shown(configured.database_uri)} has schema {schema}")  # noqa: T201 - a command line
    return 0


if __name__ == "__main__":
    sys.exit(main())
