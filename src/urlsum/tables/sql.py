"""The task table in an SQL database: SQLite on one machine, MySQL or MariaDB for more.

Every method is one statement, which is atomic under every isolation level. On MySQL it runs in autocommit mode, because
a transaction around it would only add round trips; on SQLite ``tables.sqlite`` executes it. ``selfhost.migrate``
creates the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError

from urlsum.errors import LeaseLost, TaskExists, TaskNotFound
from urlsum.tables import Overdue
from urlsum.tables.rows import from_row, to_row
from urlsum.tables.sql_database import Database, metadata

if TYPE_CHECKING:
    from urlsum.task import Task

# A binary collation compares bytes, even on a server whose default treats "a" and "A" as equal.
_Id = sa.String(36).with_variant(mysql.VARCHAR(36, charset="ascii", collation="ascii_bin"), "mysql")
# A double stores a Python float exactly; MySQL's FLOAT and DECIMAL do not.
_Float: sa.Double[float] = sa.Double()

# A new column must be nullable or have a server default: the previous version still inserts rows.
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    # TEXT holds 64 KB; a URL has at most 8 KB.
    sa.Column("url", sa.Text(), nullable=False),
    sa.Column("email", sa.Text()),
    sa.Column("md5", sa.String(32)),
    sa.Column("complete", sa.Boolean(), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("size", sa.BigInteger()),
    sa.Column("offset", sa.BigInteger()),
    sa.Column("md5_state", sa.LargeBinary()),
    sa.Column("validator", sa.Text()),
    # At most 8 KB of URL and some 2 KB of other facts.
    sa.Column("representation", sa.Text()),
    sa.Column("rate", _Float),
    sa.Column("fence", sa.Integer(), nullable=False),
    sa.Column("lease_until", _Float, nullable=False),
    sa.Column("due_at", _Float, index=True),
    sa.Column("not_before", _Float),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("slices", sa.Integer(), nullable=False),
    sa.Column("restarts", sa.Integer(), nullable=False),
    sa.Column("received", sa.BigInteger()),
    sa.Column("resumed_from", sa.BigInteger()),
    sa.Column("error_code", sa.String(16)),
    sa.Column("error_message", sa.Text()),
    sa.Column("mail", sa.String(16), nullable=False),
    sa.Column("expected_md5", sa.String(32)),
    sa.Column("created_at", _Float, nullable=False),
    sa.Column("updated_at", _Float, nullable=False),
    sa.Column("finished_at", _Float),
    sa.Column("expires_at", sa.BigInteger(), nullable=False, index=True),
    sa.Column("client", sa.String(100)),
    sa.Column("network", sa.String(64)),
    sa.Column("fresh", sa.Boolean()),
    sa.Column("reused_at", _Float),
    sa.Column("continued", sa.SmallInteger(), nullable=False, server_default="0"),
    # First slices apart from continuations, each by the time that they have waited.
    sa.Index("ix_tasks_continued_due_at", "continued", "due_at"),
    sa.Column("file_key", sa.String(64)),
    # Independent of the server's and the database's defaults. Only InnoDB loses nothing in a crash.
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)

# Built once: SQLAlchemy needs longer to build a statement of this many columns than SQLite to execute it.
_UNCHANGED = (
    tasks.c.id == sa.bindparam("before_id"),
    tasks.c.fence == sa.bindparam("before_fence"),
    tasks.c.status == sa.bindparam("before_status"),
)
_INSERT = sa.insert(tasks)
_UPDATE = sa.update(tasks).where(*_UNCHANGED)
_CLAIM = _UPDATE.where(tasks.c.lease_until < sa.bindparam("lease_before"))
_DELETE = sa.delete(tasks).where(*_UNCHANGED)
_SELECT = sa.select(tasks).where(tasks.c.id == sa.bindparam("wanted"))
_DUE = (
    sa.select(tasks.c.id)
    .where(tasks.c.due_at <= sa.bindparam("before"))
    .order_by(tasks.c.due_at)
    .limit(sa.bindparam("most"))
)
_DUE_OF_KIND = _DUE.where(tasks.c.continued == sa.bindparam("continued"))
_OVERDUE = _DUE.with_only_columns(tasks.c.id, tasks.c.due_at, tasks.c.lease_until, tasks.c.continued)
# With a LIMIT, so that a full table costs no more than the caller wants to know.
_UNFINISHED = sa.select(sa.func.count().label("tasks")).select_from(
    sa.select(tasks.c.due_at).where(tasks.c.due_at.is_not(None)).limit(sa.bindparam("most")).subquery("due")
)
# A second SELECT wraps this one, because MySQL does not support LIMIT directly inside IN.
_EXPIRED = (
    sa.select(tasks.c.id)
    .where(tasks.c.expires_at <= sa.bindparam("now"))
    .order_by(tasks.c.expires_at)
    .limit(sa.bindparam("most"))
)
_PURGE = sa.delete(tasks).where(tasks.c.id.in_(sa.select(_EXPIRED.subquery("expired").c.id)))


class SqlTaskTable:
    """Tasks as rows of one table. Safe for many threads and, on one database, many processes."""

    def __init__(self, database: str | Database) -> None:
        self._database = Database(database) if isinstance(database, str) else database

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists."""
        try:
            self._database.write(_INSERT, to_row(task))
        except IntegrityError as exc:
            raise TaskExists(task.id) from exc

    def get(self, task_id: str, *, consistent: bool = True) -> Task:  # noqa: ARG002 - every read is
        """Read the task as last written. Raises TaskNotFound."""
        if not task_id.isascii():  # every id is ASCII, and MySQL refuses to compare it with other text
            raise TaskNotFound(task_id)
        rows = self._database.read(_SELECT, {"wanted": task_id})
        # MySQL pads with spaces before it compares, so "x" also matches "x ".
        if not rows or rows[0]["id"] != task_id:
            raise TaskNotFound(task_id)
        return from_row(rows[0])

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over`` by ``task``. Raises LeaseLost when another write came between.

        When the connection breaks, this raises TableUnavailable, but the write may have been applied: a retry then
        meets LeaseLost. The caller stops without another write. The stored row is whole, either old or new, and comes
        due when its lease lapses.

        A result is on disk before this returns. A claim or a checkpoint need not be: a power failure also stops its
        holder, and the older row makes another worker repeat the work.
        """
        change, values = _UPDATE, {**to_row(task), **_before(over)}
        if lease_before is not None:
            change, values["lease_before"] = _CLAIM, lease_before
        if not self._database.write(change, values, durable=task.complete):
            raise LeaseLost(over.id)

    def remove(self, task: Task) -> bool:
        """Delete ``task`` and return True unless another write came between."""
        return bool(self._database.write(_DELETE, _before(task)))

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        """Ids of tasks whose ``due_at`` is not after ``before``, the longest waiting first."""
        values: dict[str, Any] = {"before": before, "most": limit}
        if continued is None:
            return [row["id"] for row in self._database.read(_DUE, values)]
        return [row["id"] for row in self._database.read(_DUE_OF_KIND, {**values, "continued": int(continued)})]

    def overdue(self, before: float, limit: int) -> list[Overdue]:
        """Tasks whose ``due_at`` is not after ``before``, the longest waiting first."""
        return [
            Overdue(row["id"], row["due_at"], row["lease_until"], bool(row["continued"]))
            for row in self._database.read(_OVERDUE, {"before": before, "most": limit})
        ]

    def unfinished(self, limit: int) -> int:
        """The number of tasks with a ``due_at``; ``limit`` if there are more."""
        [row] = self._database.read(_UNFINISHED, {"most": limit})
        return int(row["tasks"])

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` expired tasks; return their number."""
        return self._database.write(_PURGE, {"now": now, "most": limit})


def _before(task: Task) -> dict[str, Any]:
    return {"before_id": task.id, "before_fence": task.fence, "before_status": task.status.value}
