"""Records beside the tasks; who asked for a task, and whether its digest was computed for it."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "client": sa.String(100),
    "network": sa.String(64),
    "fresh": sa.Boolean(),
    "reused_at": sa.Double(),
}


def upgrade() -> None:
    """Add the table and the columns, unless a run that was cut short has done so."""
    inspector = sa.inspect(op.get_bind())
    if "records" not in inspector.get_table_names():
        op.create_table(
            "records",
            sa.Column(
                "name",
                sa.String(200).with_variant(mysql.VARCHAR(200, charset="ascii", collation="ascii_bin"), "mysql"),
                primary_key=True,
            ),
            sa.Column("content", sa.Text(), nullable=False),
            sa.Column("version", sa.Integer(), nullable=False),
            sa.Column("expires_at", sa.BigInteger(), nullable=False, index=True),
            mysql_engine="InnoDB",
            mysql_charset="utf8mb4",
            mysql_collate="utf8mb4_bin",
        )
    present = {column["name"] for column in inspector.get_columns("tasks")}
    for name, kind in COLUMNS.items():
        if name not in present:
            op.add_column("tasks", sa.Column(name, kind))


def downgrade() -> None:
    """Drop them: the tasks themselves do not need them."""
    for name in COLUMNS:
        op.drop_column("tasks", name)
    op.drop_table("records")
