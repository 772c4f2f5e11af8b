"""Whether a task has used a worker for more than a moment, and an index that keeps such tasks apart from new ones."""  # noqa: INP001 - run by path, never imported

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

INDEX = "ix_tasks_continued_due_at"


def upgrade() -> None:
    """Add the column and the index, unless a run that was cut short has done so."""
    inspector = sa.inspect(op.get_bind())
    if "continued" not in {column["name"] for column in inspector.get_columns("tasks")}:
        op.add_column("tasks", sa.Column("continued", sa.SmallInteger(), nullable=False, server_default="0"))
    if INDEX not in {index["name"] for index in inspector.get_indexes("tasks")}:
        op.create_index(INDEX, "tasks", ["continued", "due_at"])


def downgrade() -> None:
    """Drop them: the tasks themselves do not need them."""
    op.drop_index(INDEX, "tasks")
    op.drop_column("tasks", "continued")
