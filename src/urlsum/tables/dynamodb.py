"""The tasks and the records in one DynamoDB table, through PynamoDB; template.yaml creates it.

botocore finds the endpoint, so AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_DYNAMODB work as usual. PynamoDB knows the keys
from the model below, so it never sends DescribeTable.
"""

from __future__ import annotations

import heapq
import secrets
import zlib
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pynamodb.attributes import BinaryAttribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from urlsum import aws
from urlsum.errors import Conflict, LeaseLost, RecordChanged, TableUnavailable, TaskExists, TaskNotFound
from urlsum.tables import Overdue, Record
from urlsum.tables.rows import from_row, to_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynamodb.connection import TableConnection
    from pynamodb.expressions.condition import Condition
    from pynamodb.expressions.update import Action

    from urlsum.task import Task

# A change of due_at costs two writes to the index (delete and insert), and a partition takes 1,000 writes a second. A
# running task changes due_at once per CHECKPOINT_SECONDS (10 s) and a few times more at its start, but not with its
# claim; a new task inserts one entry. Four shards carry 20,000 running tasks, or 4,000 new ones a second, and a sweep
# takes four queries. The number may rise at any time, since every other save moves its task to the right shard. It must
# never fall: no query would read the surplus shards. Continuations have as many of their own, so that either kind
# can be read without the other.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
DUE_SHARDS = 4

# From this limit on, tasks are counted in one shard of each kind, unless that many come near the limit: 2 queries
# instead of 8, at the start of each process and every ten seconds. Of 10,000 tasks a shard has 2,500, give or take 43,
# so it cannot look half empty.
SAMPLED_LIMIT = 10_000

# DynamoDB responds within milliseconds. Three tries take at most 3 * (2 + 5) s and 3 s of back-off. That leaves the API
# time to respond with 503 (an HTTP API times out after 30 s) and the worker most of its lease.
CONNECT_SECONDS = 2
READ_SECONDS = 5
# Retries matter on Lambda: a freeze often kills a keep-alive connection, and only its next use shows that.
RETRIES = 2

# The steps in which DynamoDB tells the time (RFC 9110, 5.6.7).
DATE_SECONDS = 1.0

# Task ids are UUIDs, so no task has such an id.
RECORD_PREFIX = "record:"

# The most keys that one BatchGetItem takes.
BATCH = 100
OVERDUE = ["id", "due_at", "due_lags", "lease_until", "continued"]

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
    client = UnicodeAttribute(null=True)
    network = UnicodeAttribute(null=True)
    fresh = BooleanAttribute(null=True)
    reused_at = NumberAttribute(null=True)
    continued = BooleanAttribute(null=True)
    file_key = UnicodeAttribute(null=True)

    due_shard = NumberAttribute(null=True)
    # True while due_at is earlier than the task's, see keeps_index.
    due_lags = BooleanAttribute(null=True)
    # Identifies the call of add() that wrote the item, so that a retry of that call recognises its own item.
    added_by = BinaryAttribute(legacy_encoding=False, null=True)

    due = _DueIndex()


class _RecordItem(Model):
    """A record: a second kind of item in the table of tasks, so that one permission and one recipe cover both."""

    id = UnicodeAttribute(hash_key=True)
    content = UnicodeAttribute()
    version = NumberAttribute()
    expires_at = NumberAttribute()
    # Identifies the call of write() that wrote the item, so that a retry of that call recognises its own item.
    written_by = BinaryAttribute(legacy_encoding=False)


Kind = TypeVar("Kind", bound=Model)


def client() -> Any:  # noqa: ANN401 - PynamoDB's stubs have no name for it
    """Make a client of DynamoDB for the adapters of one table; it contacts nothing, see ``urlsum.aws``."""
    # As PynamoDB would make it: it checks parameters itself.
    config = Config(
        parameter_validation=False,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1 + RETRIES},
    )
    return aws.client("dynamodb", config)


def server_time(table_name: str, connect: Callable[[], Any]) -> float | None:
    """DynamoDB's clock in seconds since the epoch: the middle of the second that the Date of a response names.

    None if a response has no Date. It comes with a refusal, too: of a machine whose clock is minutes away DynamoDB
    refuses every request, and its owner should hear why. Raises TableUnavailable.
    """
    key = {"id": {"S": f"{RECORD_PREFIX}clock"}}  # half a read unit, whether or not there is one
    try:
        reply = connect().get_item(TableName=table_name, Key=key, ProjectionExpression="id")["ResponseMetadata"]
    except ClientError as exc:
        reply = exc.response["ResponseMetadata"]
        if reply["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TableUnavailable(f"DynamoDB does not answer: {exc}") from exc
    except BotoCoreError as exc:
        raise TableUnavailable(f"DynamoDB does not answer: {exc}") from exc
    with suppress(KeyError, ValueError):
        return parsedate_to_datetime(reply["HTTPHeaders"]["date"]).timestamp() + DATE_SECONDS / 2
    return None


def _model(kind: type[Kind], table: str, connect: Callable[[], Any]) -> type[Kind]:
    def connection(cls: type[Model]) -> TableConnection:
        connected: TableConnection = super(kind, cls)._get_connection()  # type: ignore[misc] # mypy: of a type variable
        if connected.connection._client is None:  # noqa: SLF001 - PynamoDB takes a client by no other way
            connected.connection._client = connect()  # noqa: SLF001
        return connected

    # PynamoDB keeps the table's name and connection on the class, so each table needs its own class.
    meta = type(
        "Meta",
        (),
        {
            "table_name": table,
            "connect_timeout_seconds": CONNECT_SECONDS,
            "read_timeout_seconds": READ_SECONDS,
            "max_retry_attempts": RETRIES,
        },
    )
    return type(kind.__name__, (kind,), {"Meta": meta, "_get_connection": classmethod(connection)})


class DynamoTaskTable:
    """Tasks as items of one table, through the client that ``connect`` returns. Safe for many threads and processes."""

    def __init__(self, table_name: str, connect: Callable[[], Any] | None = None) -> None:
        self._item = _model(_Item, table_name, connect or cache(client))
        self._known = tuple(
            name for name in _Item.get_attributes() if name not in ("due_shard", "due_lags", "added_by")
        )

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists."""
        item = self._item(**_attributes(task), added_by=secrets.token_bytes(8))
        # If only the response of the first try was lost, the retry meets its own item. It may write that item again
        # as long as no worker has claimed it.
        own = (_Item.added_by == item.added_by) & (_Item.fence == task.fence)
        with _translate_errors(writes=True, refused=TaskExists(task.id)):
            item.save(condition=_Item.id.does_not_exist() | own)

    def get(self, task_id: str, *, consistent: bool = True) -> Task:
        """Read the task as last written; if ``consistent`` is False, for half a read unit, any replica's.

        Raises TaskNotFound.
        """
        with _translate_errors(refused_key=TaskNotFound(task_id)):
            try:
                item = self._item.get(task_id, consistent_read=consistent)
            except DoesNotExist as exc:
                raise TaskNotFound(task_id) from exc
        row = {name: getattr(item, name) for name in self._known}
        if item.due_lags:
            # Not the lease alone: an older version may have written due_at since.
            row["due_at"] = max(row["due_at"], row["lease_until"])
        return from_row(row)

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
        values["due_lags"] = None
        if keeps_index(task, over=over):
            del values["due_at"], values["due_shard"]
            values["due_lags"] = True
        # UpdateItem, not PutItem: it keeps the attributes of a newer version that uses the same table.
        known = _Item.get_attributes()
        actions: list[Action] = [
            known[name].remove() if value is None else known[name].set(value) for name, value in values.items()
        ]
        with _translate_errors(writes=True, refused=LeaseLost(over.id)):
            self._item(over.id).update(actions=actions, condition=condition)

    def remove(self, task: Task) -> bool:
        """Delete ``task`` and return True unless another write came between."""
        with suppress(LeaseLost), _translate_errors(writes=True, refused=LeaseLost(task.id)):
            self._item(task.id).delete(condition=_unchanged(task))
            return True
        return False

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        """Ids of tasks whose ``due_at`` is not after ``before``, the longest waiting first; may lag by a moment.

        Among them are tasks that a worker has claimed since they were due, until their first checkpoint.
        """
        shards = range(DUE_SHARDS if continued else 0, DUE_SHARDS if continued is False else 2 * DUE_SHARDS)
        with _translate_errors():
            items = [
                item
                for shard in shards
                for item in self._item.due.query(shard, _DueIndex.due_at <= before, limit=limit)
            ]
        return [item.id for item in sorted(items, key=attrgetter("due_at"))[:limit]]

    def overdue(self, before: float, limit: int) -> Iterator[Overdue]:
        """Tasks whose ``due_at`` is not after ``before``, the longest waiting first; may lag by a moment.

        The index has only keys, so the rest comes from the items, a hundred at a time: half a read unit and 0.1 ms of
        CPU each.
        """
        with _translate_errors():
            shards = [self._item.due.query(shard, _DueIndex.due_at <= before) for shard in range(2 * DUE_SHARDS)]
            ids = islice((item.id for item in heapq.merge(*shards, key=attrgetter("due_at"))), limit)
            while batch := list(islice(ids, BATCH)):
                items = {item.id: item for item in self._item.batch_get(batch, attributes_to_get=OVERDUE)}
                for task_id in batch:
                    item = items.get(task_id)
                    if item is None or item.due_at is None:  # gone, or settled since the index was read
                        continue
                    due_at = max(item.due_at, item.lease_until) if item.due_lags else item.due_at
                    if due_at <= before:
                        yield Overdue(item.id, float(due_at), float(item.lease_until), bool(item.continued))

    def unfinished(self, limit: int) -> int:
        """The number of tasks in the index; ``limit`` if there are more. Only numbers are transferred."""
        with _translate_errors():
            if limit >= SAMPLED_LIMIT:
                sampled = DUE_SHARDS * sum(self._counted(shard, limit) for shard in (0, DUE_SHARDS))
                if sampled < limit / 2:
                    return sampled
            return min(limit, sum(self._counted(shard, limit) for shard in range(2 * DUE_SHARDS)))

    def _counted(self, shard: int, limit: int) -> int:
        # Not PynamoDB's Index.count(), which does not stop at its limit.
        connection = self._item._get_connection()  # noqa: SLF001
        count, after = 0, None
        while count < limit:
            page = connection.query(
                str(shard), index_name="due", select="COUNT", limit=limit - count, exclusive_start_key=after
            )
            count, after = count + page["Count"], page.get("LastEvaluatedKey")
            if after is None:
                break
        return int(count)

    def purge(self, now: float, limit: int) -> int:  # noqa: ARG002 - the port's names
        """Do nothing: DynamoDB deletes expired items by itself (the TTL attribute is ``expires_at``)."""
        return 0


class DynamoRecords:
    """Records as items of the table of tasks; ``connect`` as there. Safe for many threads and processes."""

    def __init__(self, table_name: str, connect: Callable[[], Any] | None = None) -> None:
        self._item = _model(_RecordItem, table_name, connect or cache(client))

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        """The record as last written, None if there is none; if ``consistent`` is False, any replica's."""
        with _translate_errors():
            try:
                item = self._item.get(RECORD_PREFIX + key, consistent_read=consistent)
            except DoesNotExist:
                return None
        return Record(key=key, value=item.content, version=int(item.version), expires_at=int(item.expires_at))

    def write(
        self,
        key: str,
        value: str,
        *,
        over: Record | None,
        expires_at: float,
        durable: bool = False,  # noqa: ARG002 - always
    ) -> Record:
        """Replace ``over`` by ``value``. Raises RecordChanged when another write came between."""
        version, own = 1 if over is None else over.version + 1, secrets.token_bytes(8)
        unchanged = _RecordItem.id.does_not_exist() if over is None else _RecordItem.version == over.version
        with _translate_errors(writes=True, refused=RecordChanged(key)):
            # UpdateItem creates the item too, so the roles need no PutItem.
            self._item(RECORD_PREFIX + key).update(
                actions=[
                    _RecordItem.content.set(value),
                    _RecordItem.version.set(version),
                    _RecordItem.expires_at.set(int(expires_at)),
                    _RecordItem.written_by.set(own),
                ],
                # If only the response of the first try was lost, the retry meets its own item.
                condition=unchanged | (_RecordItem.written_by == own),
            )
        return Record(key=key, value=value, version=version, expires_at=int(expires_at))

    def purge(self, now: float, limit: int) -> int:  # noqa: ARG002 - the port's names
        """Do nothing: DynamoDB deletes expired items by itself (the TTL attribute is ``expires_at``)."""
        return 0


def _attributes(task: Task) -> dict[str, Any]:
    shard = zlib.crc32(task.id.encode()) % DUE_SHARDS + DUE_SHARDS * task.continued
    return {**to_row(task), "due_shard": None if task.due_at is None else shard}


def keeps_index(task: Task, *, over: Task) -> bool:
    """Whether the write of ``task`` leaves the keys of the index as they are, although ``due_at`` changes.

    A claim does: its two writes to the index would double the price of a small file, which has ended before its first
    checkpoint. The index then has an earlier time than ``due_at``, which is the end of the lease; ``get`` returns the
    later one, and a sweep that finds such a task reads it before it judges.
    """
    if task.due_at is None or over.due_at is None or task.due_at < over.due_at or task.continued != over.continued:
        return False
    return task.slices > over.slices and task.due_at == task.lease_until


def _unchanged(task: Task) -> Condition:
    unchanged: Condition = (_Item.fence == task.fence) & (_Item.status == task.status.value)
    return unchanged


@contextmanager
def _translate_errors(
    *, writes: bool = False, refused: Conflict | None = None, refused_key: TaskNotFound | None = None
) -> Iterator[None]:
    """Translate PynamoDB's exceptions into urlsum's; of a block that ``writes`` the outcome may be in doubt.

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
        in_doubt = writes and not _was_refused(exc.cause)
        raise TableUnavailable(f"DynamoDB does not answer: {exc.msg}", in_doubt=in_doubt) from exc


def _was_refused(cause: BaseException | None) -> bool:
    """Whether DynamoDB, or the client itself, refused the first try; else an earlier one may have been applied."""
    original = cause.__cause__ if cause is not None else None  # PynamoDB's own ClientError lacks the metadata
    if isinstance(original, ClientError):
        reply: dict[str, Any] = original.response.get("ResponseMetadata", {})  # type: ignore[assignment] # a TypedDict
        return reply.get("RetryAttempts") == 0 and reply.get("HTTPStatusCode", 500) < HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(cause, NoCredentialsError)
