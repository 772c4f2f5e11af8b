"""How many bytes were read for a task in all, so that there is an end to it."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, unless a run that was cut short has done so."""
    if "received" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}:
        op.add_column("tasks", sa.Column("received", sa.BigInteger()))


def downgrade() -> None:
    """Drop it: the count then begins again."""
    op.drop_column("tasks", "received")
