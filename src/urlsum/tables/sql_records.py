"""The records in the SQL database, beside the table of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError

from urlsum.errors import RecordChanged
from urlsum.tables import Record
from urlsum.tables.sql_database import metadata

if TYPE_CHECKING:
    from urlsum.tables.sql_database import Database

records = sa.Table(
    "records",
    metadata,
    # "key" and "value" are reserved words in some SQL dialects. A binary collation compares bytes.
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

_SELECT = sa.select(records).where(records.c.name == sa.bindparam("wanted"))
_INSERT = sa.insert(records)
_UPDATE = sa.update(records).where(
    records.c.name == sa.bindparam("wanted"), records.c.version == sa.bindparam("before_version")
)
# A second SELECT wraps this one, because MySQL does not support LIMIT directly inside IN.
_EXPIRED = (
    sa.select(records.c.name)
    .where(records.c.expires_at <= sa.bindparam("now"))
    .order_by(records.c.expires_at)
    .limit(sa.bindparam("most"))
)
_PURGE = sa.delete(records).where(records.c.name.in_(sa.select(_EXPIRED.subquery("expired").c.name)))


class SqlRecords:
    """Records as rows of one table. Safe for many threads and, on one database, many processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, key: str, *, consistent: bool = True) -> Record | None:  # noqa: ARG002 - every read is
        """The record as last written, None if there is none."""
        rows = self._database.read(_SELECT, {"wanted": key})
        # MySQL pads with spaces before it compares, so "x" also matches "x ".
        if not rows or rows[0]["name"] != key:
            return None
        row = rows[0]
        return Record(key=key, value=row["content"], version=row["version"], expires_at=row["expires_at"])

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        """Replace ``over`` by ``value``. Raises RecordChanged when another write came between."""
        version = 1 if over is None else over.version + 1
        values: dict[str, Any] = {"content": value, "version": version, "expires_at": int(expires_at)}
        if over is None:
            try:
                self._database.write(_INSERT, {"name": key, **values}, durable=durable)
            except IntegrityError as exc:
                raise RecordChanged(key) from exc
        elif not self._database.write(
            _UPDATE, {**values, "wanted": key, "before_version": over.version}, durable=durable
        ):
            raise RecordChanged(key)
        return Record(key=key, value=value, version=version, expires_at=int(expires_at))

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` expired records; return their number."""
        return self._database.write(_PURGE, {"now": now, "most": limit}, durable=False)
