"""The version of the file that a task reads, or waits for."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column, unless a run that was cut short has done so."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}
    if "file_key" not in present:
        op.add_column("tasks", sa.Column("file_key", sa.String(64)))


def downgrade() -> None:
    """Drop it: without it, a waiting task asks the origin again."""
    op.drop_column("tasks", "file_key")
