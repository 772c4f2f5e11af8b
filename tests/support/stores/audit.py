"""A log of every write to a task, kept by the store itself: triggers in SQL, the stream in DynamoDB.

A killed process can neither omit a write from it nor add one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import boto3

from tests.support.stores.tables import execute

if TYPE_CHECKING:
    from collections.abc import Sequence

FINAL = {"done", "failed", "cancelled"}


@dataclass(frozen=True, slots=True)
class State:
    """The relevant columns of a row."""

    fence: int
    status: str
    md5: str | None
    mail: str
    lease_until: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Write:
    """One accepted write: the row before and after."""

    id: str
    old: State
    new: State


class Audit(Protocol):
    """Access to the log."""

    def writes(self) -> Sequence[Write]:
        """All writes since the log was opened, in order for each task."""
        ...


_FIELDS = ("fence", "status", "md5", "mail", "lease_until", "updated_at")


class SqlAudit:
    """A trigger that copies every update into a separate table."""

    def __init__(self, database_uri: str) -> None:
        self._uri = database_uri
        mysql = database_uri.startswith("mysql")
        serial = "BIGINT AUTO_INCREMENT PRIMARY KEY" if mysql else "INTEGER PRIMARY KEY AUTOINCREMENT"
        kinds = {"fence": "INTEGER", "lease_until": "DOUBLE", "updated_at": "DOUBLE"}
        columns = [f"{age}_{name} {kinds.get(name, 'VARCHAR(36)')}" for age in ("old", "new") for name in _FIELDS]
        execute(database_uri, f"CREATE TABLE audit (serial {serial}, id VARCHAR(36), {', '.join(columns)})")
        values = ", ".join(f"{age.upper()}.{name}" for age in ("old", "new") for name in _FIELDS)
        insert = f"INSERT INTO audit (id, {self._names}) VALUES (NEW.id, {values})"
        body = insert if mysql else f"BEGIN {insert}; END"
        execute(database_uri, f"CREATE TRIGGER audited AFTER UPDATE ON tasks FOR EACH ROW {body}")

    _names = ", ".join(f"{age}_{name}" for age in ("old", "new") for name in _FIELDS)

    def writes(self) -> list[Write]:
        rows = execute(self._uri, f"SELECT id, {self._names} FROM audit ORDER BY serial")
        half = 1 + len(_FIELDS)
        return [Write(row[0], State(*row[1:half]), State(*row[half:])) for row in rows]


class StreamAudit:
    """The stream of a DynamoDB table. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html."""

    def __init__(self, table_name: str) -> None:
        client = boto3.client("dynamodb")
        specification: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        client.update_table(TableName=table_name, StreamSpecification=specification)
        arn = client.describe_table(TableName=table_name)["Table"]["LatestStreamArn"]
        client.close()
        self._streams = boto3.client("dynamodbstreams")
        [shard] = self._streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]  # moto has only one
        self._iterator: str = self._streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        self._writes: list[Write] = []

    def writes(self) -> list[Write]:
        while True:
            answer = self._streams.get_records(ShardIterator=self._iterator, Limit=1000)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return self._writes
            for record in answer["Records"]:
                image = record["dynamodb"]
                # The table also holds records, which are no tasks.
                if record["eventName"] == "MODIFY" and "fence" in image["NewImage"]:
                    old, new = _state(image["OldImage"]), _state(image["NewImage"])
                    self._writes.append(Write(image["NewImage"]["id"]["S"], old, new))


def _state(image: dict[str, dict[str, Any]]) -> State:
    return State(
        fence=int(image["fence"]["N"]),
        status=image["status"]["S"],
        md5=image["md5"]["S"] if "md5" in image else None,
        mail=image["mail"]["S"],
        lease_until=float(image["lease_until"]["N"]),
        updated_at=float(image["updated_at"]["N"]),
    )


def assert_lawful(writes: Sequence[Write]) -> None:
    """Check the invariants of every write and of the order of the writes of each task."""
    before: dict[str, State] = {}
    results: defaultdict[str, int] = defaultdict(int)
    for write in writes:
        old, new = write.old, write.new
        assert before.get(write.id, old) == old, f"the log has a gap: {write}"
        before[write.id] = new
        assert old.fence <= new.fence <= old.fence + 1, f"a stale write: {write}"
        if new.fence > old.fence and new.lease_until > 0:
            assert old.lease_until < new.updated_at, f"a claim over a lease that is held: {write}"
        if old.status in FINAL:
            assert (new.status, new.md5) == (old.status, old.md5), f"a second result: {write}"
        elif new.status in FINAL:
            results[write.id] += 1
        if old.mail in ("sent", "failed", "suppressed"):
            assert new.mail == old.mail, f"a settled mail was opened again: {write}"
    assert all(count == 1 for count in results.values())


def taken_over(writes: Sequence[Write]) -> int:
    """The number of leases that expired because their holder was dead or asleep."""
    return sum(write.new.fence > write.old.fence and write.old.lease_until > 0 for write in writes)
