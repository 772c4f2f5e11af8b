"""Where the last slice resumed, for /check to show."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column, unless a run that was cut short has done so."""
    if "resumed_from" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}:
        op.add_column("tasks", sa.Column("resumed_from", sa.BigInteger()))


def downgrade() -> None:
    """Drop it: nothing but the display reads it."""
    op.drop_column("tasks", "resumed_from")
