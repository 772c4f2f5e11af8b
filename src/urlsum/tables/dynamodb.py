"""The task table in DynamoDB, through PynamoDB; template.yaml creates it.

botocore finds the endpoint, so AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_DYNAMODB work as usual. PynamoDB knows the keys
from the model below, so it never sends DescribeTable.
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

# A change of due_at costs two writes to the index (delete and insert), and a partition takes 1,000 writes a second. A
# running task changes due_at once per CHECKPOINT_SECONDS (10 s) and a few times more at its start; a new task inserts
# one entry. Four shards carry 20,000 running tasks, or 4,000 new ones a second, and a sweep takes four queries. The
# number may rise at any time, since every save moves its task to the right shard. It must never fall: no query would
# read the surplus shards.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
DUE_SHARDS = 4

# DynamoDB responds within milliseconds. Three tries take at most 3 * (2 + 5) s and 3 s of back-off. That leaves the API
# time to respond with 503 (an HTTP API times out after 30 s) and the worker most of its lease.
CONNECT_SECONDS = 2
READ_SECONDS = 5
# Retries matter on Lambda: a freeze often kills a keep-alive connection, and only its next use shows that.
RETRIES = 2

REFUSED = "ConditionalCheckFailedException"
# DynamoDB refuses empty keys and keys over 2048 bytes, so no task can have such an id.
INVALID = "ValidationException"


class _DueIndex(GlobalSecondaryIndex["_Item"]):  # type: ignore[no-untyped-call] # PynamoDB leaves one hook untyped
    """Tasks that need more work. The index is sparse: all other tasks lack both keys."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = NumberAttribute(hash_key=True)
    due_at = NumberAttribute(range_key=True)


class _Item(Model):
    """The attributes that this version knows, named as in ``urlsum.tables.rows``, and three of this table only."""

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
    # Identifies the call of add() that wrote the item, so that a retry of that call recognises its own item.
    added_by = BinaryAttribute(legacy_encoding=False, null=True)

    due = _DueIndex()


def _model(table: str) -> type[_Item]:
    # PynamoDB keeps the table's name and connection on the class, so each table needs its own class.
    class Item(_Item):
        class Meta:
            table_name = table
            connect_timeout_seconds = CONNECT_SECONDS
            read_timeout_seconds = READ_SECONDS
            max_retry_attempts = RETRIES

    return Item


class DynamoTaskTable:
    """Tasks as items of one table. Safe for many threads and processes."""

    def __init__(self, table_name: str) -> None:
        self._item = _model(table_name)
        self._known = tuple(name for name in _Item.get_attributes() if name not in ("due_shard", "added_by"))

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists."""
        item = self._item(**_attributes(task), added_by=secrets.token_bytes(8))
        # If only the response of the first try was lost, the retry meets its own item. It may write that item again
        # as long as no worker has claimed it.
        own = (_Item.added_by == item.added_by) & (_Item.fence == task.fence)
        with _translate_errors(refused=TaskExists(task.id)):
            item.save(condition=_Item.id.does_not_exist() | own)

    def get(self, task_id: str) -> Task:
        """Read the task as last written. Raises TaskNotFound."""
        with _translate_errors(refused_key=TaskNotFound(task_id)):
            try:
                item = self._item.get(task_id, consistent_read=True)
            except DoesNotExist as exc:
                raise TaskNotFound(task_id) from exc
        return from_row({name: getattr(item, name) for name in self._known})

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over`` by ``task``. Raises LeaseLost when another write came between.

        PynamoDB retries a write whose response was lost. If the first try was applied and changed the fence or the
        status, the condition refuses the retry. LeaseLost is then a false alarm, but a safe one: the caller stops
        without another write, the item is whole, and outstanding work comes due when the lease lapses. A checkpoint
        changes neither fence nor status, so its retry writes the same item again.
        """
        condition = _unchanged(over)
        if lease_before is not None:
            condition &= _Item.lease_until < lease_before
        values = _attributes(task)
        del values["id"]
        # UpdateItem, not PutItem: it keeps the attributes of a newer version that uses the same table.
        known = _Item.get_attributes()
        actions: list[Action] = [
            known[name].remove() if value is None else known[name].set(value) for name, value in values.items()
        ]
        with _translate_errors(refused=LeaseLost(over.id)):
            self._item(over.id).update(actions=actions, condition=condition)

    def remove(self, task: Task) -> None:
        """Delete ``task`` unless another write came between."""
        with suppress(LeaseLost), _translate_errors(refused=LeaseLost(task.id)):
            self._item(task.id).delete(condition=_unchanged(task))

    def due(self, before: float, limit: int) -> list[str]:
        """Ids of tasks whose ``due_at`` is not after ``before``, the longest waiting first; may lag by a moment."""
        with _translate_errors():
            items = [
                item
                for shard in range(DUE_SHARDS)
                for item in self._item.due.query(shard, _DueIndex.due_at <= before, limit=limit)
            ]
        return [item.id for item in sorted(items, key=attrgetter("due_at"))[:limit]]

    def purge(self, now: float, limit: int) -> int:  # noqa: ARG002 - the port's names
        """Do nothing: DynamoDB deletes expired items by itself (the TTL attribute is ``expires_at``)."""
        return 0


def _attributes(task: Task) -> dict[str, Any]:
    owed = task.due_at is not None
    return {**to_row(task), "due_shard": zlib.crc32(task.id.encode()) % DUE_SHARDS if owed else None}


def _unchanged(task: Task) -> Condition:
    unchanged: Condition = (_Item.fence == task.fence) & (_Item.status == task.status.value)
    return unchanged


@contextmanager
def _translate_errors(*, refused: Conflict | None = None, refused_key: TaskNotFound | None = None) -> Iterator[None]:
    """Translate PynamoDB's exceptions into urlsum's.

    Raises ``refused`` when the conditional write fails, ``refused_key`` when DynamoDB finds the request invalid. An
    unexpected invalid request is a defect, not an outage, and passes through.
    """
    try:
        yield
    except PynamoDBException as exc:
        # Not exc.cause_response_code: it fails without a response.
        code = exc.cause.response["Error"]["Code"] if isinstance(exc.cause, ClientError) else None
        if code == REFUSED and refused is not None:
            raise refused from exc
        if code == INVALID and refused_key is not None:
            raise refused_key from exc
        if code == INVALID:
            raise
        raise TableUnavailable(f"DynamoDB does not answer: {exc.msg}") from exc
