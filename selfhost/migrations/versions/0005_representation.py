"""What the origin said about the file: name, type, final URL, version, notes."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column, unless a run that was cut short has done so."""
    if "representation" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}:
        op.add_column("tasks", sa.Column("representation", sa.Text()))


def downgrade() -> None:
    """Drop it: nothing but the display reads it."""
    op.drop_column("tasks", "representation")
