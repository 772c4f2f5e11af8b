"""The task table.

Rules for this folder. A migration only adds: a new column is nullable or has a server default, so that processes of the
version before can read and insert while and after it runs. It stands by itself and imports nothing of urlsum,
whose tables will have moved on. And it can be run again: MySQL commits every statement of a migration by itself, so one
that was cut short starts over.
"""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

INDEXED = ("due_at", "expires_at")


def upgrade() -> None:
    """Create the table and its indexes, whichever of them are missing."""
    op.create_table(
        "tasks",
        sa.Column(
            "id",
            sa.String(36).with_variant(mysql.VARCHAR(36, charset="ascii", collation="ascii_bin"), "mysql"),
            primary_key=True,
        ),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("md5", sa.String(32)),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("offset", sa.BigInteger()),
        sa.Column("md5_state", sa.LargeBinary()),
        sa.Column("validator", sa.Text()),
        sa.Column("rate", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("slices", sa.Integer(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(16)),
        sa.Column("error_message", sa.Text()),
        sa.Column("mail", sa.String(16), nullable=False),
        sa.Column("expected_md5", sa.String(32)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        if_not_exists=True,
    )
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("tasks")}
    for column in INDEXED:
        if f"ix_tasks_{column}" not in existing:
            op.create_index(f"ix_tasks_{column}", "tasks", [column])


def downgrade() -> None:
    """Drop the table, and every task with it."""
    op.drop_table("tasks")
