"""Alembic's entry: runs the migrations on the connection, and inside the lock, that ``selfhost.migrate`` hands over."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

from alembic import context

from urlsum.tables import sql, sql_records  # noqa: F401 - their tables
from urlsum.tables.sql_database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a table in most ways; a batch operation copies it instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
