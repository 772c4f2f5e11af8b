"""When a worker may take a task, apart from when the sweeper looks at it next."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, unless a run that was cut short has done so."""
    if "not_before" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}:
        op.add_column("tasks", sa.Column("not_before", sa.Double()))


def downgrade() -> None:
    """Drop it: tasks that wait are then taken at once."""
    op.drop_column("tasks", "not_before")
