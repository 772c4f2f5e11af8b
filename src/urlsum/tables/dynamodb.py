"""The task table in DynamoDB, through PynamoDB; template.yaml makes it.

The endpoint is botocore's to find: AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_DYNAMODB work here as everywhere. PynamoDB
knows the keys from the model below, so no DescribeTable is ever sent.
"""

from __future__ import annotations

import secrets
import zlib
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pynamodb.attributes import BinaryAttribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from urlsum.errors import Conflict, LeaseLost, TableUnavailable, TaskExists, TaskNotFound
from urlsum.tables.rows import from_row, to_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynamodb.expressions.condition import Condition
    from pynamodb.expressions.update import Action

    from urlsum.task import Task

# The index is written twice per change of due_at (one entry out, one in), and a partition takes 1,000 writes a
# second; a running task changes it once per CHECKPOINT_SECONDS (10 s) and a few times more as it begins, a new one adds
# one entry. Four shards carry 20,000 running tasks, or 4,000 new ones a second, and a sweep is four queries. The number
# may rise at any time (every save moves its task to where it now belongs) but never fall: nobody would look into the
# shards left over.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
DUE_SHARDS = 4

# DynamoDB answers within milliseconds. Three tries at the very worst take 3 * (2 + 5) s and 3 s of back-off, which
# still leaves the API time to say 503 (an HTTP API gives up after 30 s) and the worker most of its lease.
CONNECT_SECONDS = 2
READ_SECONDS = 5
# Retries matter on Lambda: a connection that was kept through a freeze is often found dead at its first use.
RETRIES = 2

REFUSED = "ConditionalCheckFailedException"
# DynamoDB takes no empty key and none over 2048 bytes, so no task can have such an id.
INVALID = "ValidationException"


class _DueIndex(GlobalSecondaryIndex["_Item"]):  # type: ignore[no-untyped-call] # PynamoDB leaves one hook untyped
    """Tasks to which something is owed: sparse, since both its keys are absent from all others."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = NumberAttribute(hash_key=True)
    due_at = NumberAttribute(range_key=True)


class _Item(Model):
    """The attributes that this version knows, by the names of ``urlsum.tables.rows``, and three of this table's own."""

    id = UnicodeAttribute(hash_key=True)
    url = UnicodeAttribute()
    email = UnicodeAttribute(null=True)
    md5 = UnicodeAttribute(null=True)
    complete = BooleanAttribute()
    status = UnicodeAttribute()
    size = NumberAttribute(null=True)
    offset = NumberAttribute(null=True)
    md5_state = BinaryAttribute(legacy_encoding=False, null=True)
    validator = UnicodeAttribute(null=True)
    representation = UnicodeAttribute(null=True)
    rate = NumberAttribute(null=True)
    fence = NumberAttribute()
    lease_until = NumberAttribute()
    due_at = NumberAttribute(null=True)
    not_before = NumberAttribute(null=True)
    attempts = NumberAttribute()
    slices = NumberAttribute()
    restarts = NumberAttribute()
    received = NumberAttribute(null=True)
    resumed_from = NumberAttribute(null=True)
    error_code = UnicodeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    mail = UnicodeAttribute()
    expected_md5 = UnicodeAttribute(null=True)
    created_at = NumberAttribute()
    updated_at = NumberAttribute()
    finished_at = NumberAttribute(null=True)
    expires_at = NumberAttribute()

    due_shard = NumberAttribute(null=True)
    # Which call of add() wrote the item, so that its own retry does not take it for somebody else's.
    added_by = BinaryAttribute(legacy_encoding=False, null=True)

    due = _DueIndex()


def _model(table: str) -> type[_Item]:
    # PynamoDB keeps the table's name and its connection on the class, so each table needs one of its own.
    class Item(_Item):
        class Meta:
            table_name = table
            connect_timeout_seconds = CONNECT_SECONDS
            read_timeout_seconds = READ_SECONDS
            max_retry_attempts = RETRIES

    return Item


class DynamoTaskTable:
    """Tasks as items of one table. Safe for any number of callers."""

    def __init__(self, table_name: str) -> None:
        self._item = _model(table_name)
        self._known = tuple(name for name in _Item.get_attributes() if name not in ("due_shard", "added_by"))

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists."""
        item = self._item(**_attributes(task), added_by=secrets.token_bytes(8))
        # A retry whose first try was applied although its answer got lost meets its own item. It may write that once
        # more, as long as nobody has claimed it meanwhile.
        own = (_Item.added_by == item.added_by) & (_Item.fence == task.fence)
        with _translated(refused=TaskExists(task.id)):
            item.save(condition=_Item.id.does_not_exist() | own)

    def get(self, task_id: str) -> Task:
        """Read the task as last written. Raises TaskNotFound."""
        with _translated(refused_key=TaskNotFound(task_id)):
            try:
                item = self._item.get(task_id, consistent_read=True)
            except DoesNotExist as exc:
                raise TaskNotFound(task_id) from exc
        return from_row({name: getattr(item, name) for name in self._known})

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over`` by ``task``. Raises LeaseLost when another write came between.

        A write whose answer got lost is retried, and if it had been applied and changed the fence or the status the
        retry is refused. LeaseLost is then a lie, but a safe one: the caller stops without having written anything
        more, the item is whole, and what is still owed comes up again when its lease lapses. A retried checkpoint
        changes neither fence nor status, so it is applied twice, to the same end.
        """
        condition = _unchanged(over)
        if lease_before is not None:
            condition &= _Item.lease_until < lease_before
        values = _attributes(task)
        del values["id"]
        # UpdateItem, not PutItem: attributes of a newer version, which may work beside this one, stay.
        known = _Item.get_attributes()
        actions: list[Action] = [
            known[name].remove() if value is None else known[name].set(value) for name, value in values.items()
        ]
        with _translated(refused=LeaseLost(over.id)):
            self._item(over.id).update(actions=actions, condition=condition)

    def remove(self, task: Task) -> None:
        """Delete ``task`` unless another write came between."""
        with suppress(LeaseLost), _translated(refused=LeaseLost(task.id)):
            self._item(task.id).delete(condition=_unchanged(task))

    def due(self, before: float, limit: int) -> list[str]:
        """Ids of tasks whose ``due_at`` is not after ``before``, the longest waiting first; may lag by a moment."""
        with _translated():
            found = [
                item
                for shard in range(DUE_SHARDS)
                for item in self._item.due.query(shard, _DueIndex.due_at <= before, limit=limit)
            ]
        return [item.id for item in sorted(found, key=attrgetter("due_at"))[:limit]]

    def purge(self, now: float, limit: int) -> int:  # noqa: ARG002 - the port's names
        """Do nothing: DynamoDB itself deletes what has expired (the TTL attribute is ``expires_at``)."""
        return 0


def _attributes(task: Task) -> dict[str, Any]:
    owed = task.due_at is not None
    return {**to_row(task), "due_shard": zlib.crc32(task.id.encode()) % DUE_SHARDS if owed else None}


def _unchanged(task: Task) -> Condition:
    unchanged: Condition = (_Item.fence == task.fence) & (_Item.status == task.status.value)
    return unchanged


@contextmanager
def _translated(*, refused: Conflict | None = None, refused_key: TaskNotFound | None = None) -> Iterator[None]:
    """Turn what PynamoDB raises into this error tree.

    ``refused`` is what it means that the write's condition did not hold, ``refused_key`` that the request is not
    valid. An invalid request that nobody expects is a defect, not an outage, and is left as it is.
    """
    try:
        yield
    except PynamoDBException as exc:
        # Not exc.cause_response_code: it breaks on an answer that never came.
        code = exc.cause.response["Error"]["Code"] if isinstance(exc.cause, ClientError) else None
        if code == REFUSED and refused is not None:
            raise refused from exc
        if code == INVALID and refused_key is not None:
            raise refused_key from exc
        if code == INVALID:
            raise
        raise TableUnavailable(f"DynamoDB does not answer: {exc.msg}") from exc
