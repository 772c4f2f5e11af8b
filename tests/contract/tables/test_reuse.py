"""Of many tasks that want to read one file at the same moment one does, whatever keeps the records."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import FILE, Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.errors import FailureCode
from urlsum.settings import Settings
from urlsum.tables.dynamodb import DynamoRecords, DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database
from urlsum.tables.sql_records import SqlRecords
from urlsum.task import Failure
from urlsum.worker.reuse import Known, Wait, announced, remember

if TYPE_CHECKING:
    from urlsum.tables import Records, TaskTable

KEY = "5f" * 32
MANY = 12


@pytest.fixture(params=["memory", "sqlite", "mysql", "dynamodb"])
def deps(request: pytest.FixtureRequest) -> Deps:
    table: TaskTable
    records: Records
    if request.param == "memory":
        table, records = MemoryTaskTable(), MemoryRecords()
    elif request.param == "dynamodb":
        name: str = request.getfixturevalue("dynamodb_table_name")
        table, records = DynamoTaskTable(name), DynamoRecords(name)
    else:
        uri: str = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "shared_mysql_database")
        table, records = SqlTaskTable(uri), SqlRecords(Database(uri))
    source = SyntheticSource(b"", Clock())  # never opened
    return Deps(Settings(), table, source, time.time, time.monotonic, records=records)


def test_of_many_at_once_one_reads_and_one_takes_over(deps: Deps) -> None:
    now = time.time()
    tasks = [new_task(created_at=now, updated_at=now, due_at=now).claimed(now, 90) for _ in range(MANY)]
    for task in tasks:
        deps.table.add(task)  # type: ignore[attr-defined] # it is a whole table
    tasks = [replace(task, file_key=KEY) for task in tasks]
    with ThreadPoolExecutor(MANY) as pool:
        found = list(pool.map(lambda task: announced(task, deps), tasks))
        assert found.count(None) == 1
        assert sum(isinstance(entry, Wait) for entry in found) == MANY - 1
        reader = tasks.pop(found.index(None))
        assert all(isinstance(announced(task, deps), Wait) for task in tasks)

        deps.table.save(reader.failed(Failure(FailureCode.HTTP, "status 404"), now), over=reader)
        found = list(pool.map(lambda task: announced(task, deps), tasks))
        assert found.count(None) == 1

        reader = tasks.pop(found.index(None))
        done = reader.done("0" * 32, 2**20, now)
        remember(reader, deps, fingerprint="f", done=replace(done, representation=new_task().representation))
        # Nothing proves a reading without facts; everybody reads.
        assert [announced(task, deps) for task in tasks] == [None] * len(tasks)


def test_a_result_comes_back_as_it_was(deps: Deps) -> None:
    now = time.time()
    task = replace(new_task().claimed(now, 90), file_key=KEY)
    done = task.done("0" * 32, 5 * 2**40, now, representation=FILE)
    remember(task, deps, fingerprint='{"größe": "\\u0000"}', done=done)
    known = announced(replace(new_task(), file_key=KEY), deps)
    assert isinstance(known, Known)
    assert (known.task, known.md5, known.size) == (task.id, "0" * 32, 5 * 2**40)
    assert (known.fingerprint, known.representation) == ('{"größe": "\\u0000"}', FILE.dump())
    assert known.computed_at == pytest.approx(now, abs=5)
