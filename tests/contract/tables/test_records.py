"""What every Records does, whatever keeps them."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.dynamodb import Fault, Relay
from tests.support.stores.memory import MemoryRecords
from tests.support.stores.tables import NOW
from urlsum import tables
from urlsum.errors import RecordChanged, TableUnavailable
from urlsum.tables import Change, Record, Records
from urlsum.tables.dynamodb import DynamoRecords
from urlsum.tables.sql_database import Database
from urlsum.tables.sql_records import SqlRecords

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = int(NOW) + 3600


@pytest.fixture(params=["memory", "sqlite", "mysql", "dynamodb"])
def opened(request: pytest.FixtureRequest) -> Callable[[], Records]:
    """A function that opens the records of one store, as each process of a deployment does."""
    if request.param == "memory":
        memory = MemoryRecords()
        return lambda: memory
    if request.param == "dynamodb":
        name: str = request.getfixturevalue("dynamodb_table_name")
        return lambda: DynamoRecords(name)
    uri: str = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "shared_mysql_database")
    return lambda: SqlRecords(Database(uri))


@pytest.fixture
def records(opened: Callable[[], Records]) -> Records:
    return opened()


def test_a_record_comes_back_as_it_was(records: Records) -> None:
    value = json.dumps({"größe": [1.5, None, "\U0001f600\n\x00é"]}, ensure_ascii=False)
    assert records.read("a") is None
    written = records.write("a", value, over=None, expires_at=LATER + 0.75)
    assert written == Record("a", value, 1, LATER)
    assert records.read("a") == written


def test_the_longest_key_and_value_fit(records: Records) -> None:
    key, value = "k" * 200, "é" * 30_000
    assert records.read(key) is None
    records.write(key, value, over=None, expires_at=LATER)
    assert records.read(key) == Record(key, value, 1, LATER)


def test_keys_are_compared_byte_by_byte(records: Records) -> None:
    for key in ("a", "A", "a/b", "record:a"):
        records.write(key, key, over=None, expires_at=LATER)
    assert [found.value for key in ("a", "A", "a/b", "record:a") if (found := records.read(key))] == [
        "a",
        "A",
        "a/b",
        "record:a",
    ]


def test_a_write_over_what_was_read_raises_the_version(records: Records) -> None:
    first = records.write("a", "1", over=None, expires_at=LATER, durable=True)
    second = records.write("a", "2", over=first, expires_at=LATER + 1, durable=True)
    assert second == Record("a", "2", 2, LATER + 1)
    assert records.read("a") == second


@pytest.mark.parametrize("present", [True, False])
def test_a_write_over_an_older_version_is_refused(records: Records, *, present: bool) -> None:
    first = records.write("a", "1", over=None, expires_at=LATER)
    records.write("a", "2", over=first, expires_at=LATER)
    with pytest.raises(RecordChanged):
        records.write("a", "3", over=first if present else None, expires_at=LATER)
    got = records.read("a")
    assert got is not None
    assert got.value == "2"


def test_a_write_over_a_record_that_is_gone_is_refused(records: Records) -> None:
    with pytest.raises(RecordChanged):
        records.write("a", "1", over=Record("a", "0", 1, LATER), expires_at=LATER)
    assert records.read("a") is None


def test_expired_records_are_purged_and_no_others(records: Records) -> None:
    if isinstance(records, DynamoRecords):
        assert records.purge(NOW, 10) == 0  # its TTL does it
        return
    for number in range(5):
        records.write(f"old {number}", "", over=None, expires_at=NOW - number)
    records.write("new", "", over=None, expires_at=NOW + 2)
    assert records.purge(NOW, 3) == 3
    assert records.purge(NOW, 3) == 2
    assert records.purge(NOW, 3) == 0
    assert records.read("new") is not None


def test_concurrent_changes_of_two_processes_are_all_counted(opened: Callable[[], Records]) -> None:
    stores = [opened(), opened()]
    # moto takes longer for a write than a pause between two tries: four threads would overtake each other too often.
    each, threads = 20, 2 if isinstance(stores[0], DynamoRecords) else 4

    def count(value: str | None) -> tuple[Change, int]:
        new = int(value or 0) + 1
        return Change(str(new), LATER), new

    def add(number: int) -> list[int]:
        return [tables.change(stores[number % 2], "count", count, now=NOW) for _ in range(each)]

    with ThreadPoolExecutor(threads) as pool:
        results = [seen for one in pool.map(add, range(threads)) for seen in one]
    assert sorted(results) == list(range(1, threads * each + 1))


def test_an_expired_value_is_no_value(records: Records) -> None:
    records.write("a", "old", over=None, expires_at=NOW)
    seen = tables.change(records, "a", lambda value: (Change("new", LATER), value), now=NOW)
    assert seen is None
    assert records.read("a") == Record("a", "new", 2, LATER)


def test_a_decision_not_to_write_writes_nothing(records: Records) -> None:
    assert tables.change(records, "a", lambda _: (None, "as it is"), now=NOW) == "as it is"
    assert records.read("a") is None


def test_a_record_that_changes_all_the_time_is_given_up() -> None:
    records = MemoryRecords()
    pauses: list[float] = []

    def overtaken(value: str | None) -> tuple[Change, None]:
        stored = records.read("a")
        records.write("a", "theirs", over=stored, expires_at=sys.maxsize)
        return Change(f"{value} and ours", LATER), None

    with pytest.raises(TableUnavailable, match="changed too often"):
        tables.change(records, "a", overtaken, now=NOW, sleep=pauses.append)
    assert len(pauses) == tables.CHANGE_TRIES
    assert sum(pauses) < 2


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.UNAVAILABLE, Fault.THROTTLED])
def test_a_write_to_dynamodb_whose_response_was_lost_counts_once(
    relay: Relay, dynamodb_table_name: str, fault: Fault
) -> None:
    records = DynamoRecords(dynamodb_table_name)
    first = records.write("a", "1", over=None, expires_at=LATER)
    relay.fail(fault)
    assert records.write("a", "2", over=first, expires_at=LATER).version == 2
    relay.fail(fault)
    assert records.write("b", "1", over=None, expires_at=LATER).version == 1
    assert relay.operations.count("UpdateItem") == 5


def test_a_database_that_is_down_is_unavailable(unused_port: int) -> None:
    records = SqlRecords(Database(f"mysql+pymysql://root@127.0.0.1:{unused_port}/nothing"))
    with pytest.raises(TableUnavailable):
        records.read("a")
    with pytest.raises(TableUnavailable):
        records.write("a", "", over=None, expires_at=LATER)
