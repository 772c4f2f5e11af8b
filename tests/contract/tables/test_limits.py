"""Limits count exactly, whatever keeps the accounts and however many processes share it, and cost what they may."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryRecords, MemoryTaskTable, secret
from tests.support.stores.tables import NOW, new_task
from urlsum import service
from urlsum.errors import LimitReached
from urlsum.limits import accounts
from urlsum.limits.account import Account
from urlsum.limits.limiter import Limiter
from urlsum.limits.quota import DAY
from urlsum.origin.guard.guard import Guard
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.tables.dynamodb import DynamoRecords, DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database
from urlsum.tables.sql_records import SqlRecords

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from tests.support.stores.dynamodb import Relay
    from urlsum.tables import Records, TaskTable

CLIENT = "198.51.100.7"
TODAY = int(NOW // DAY)
THREADS = 4


@dataclass
class Server:
    """What one process of a deployment has for its submissions."""

    table: TaskTable
    records: Records
    settings: Settings

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.settings, self.table, self.records)
        self.guard = Guard(self.settings)

    def submit(self, client: str | None = CLIENT) -> str | None:
        """The id of the task, None if a limit is reached."""
        try:
            return service.submit(
                Submission(url="https://example.org/a.bam", client=client),
                table=self.table,
                queue=MemoryQueue(),
                guard=self.guard,
                secret=secret,
                now=NOW,
                ttl_days=30,
                admission=self.limiter.admission(),
            )
        except LimitReached:
            return None

    def account(self) -> Account:
        stored = self.records.read(f"client:{CLIENT}")
        assert stored is not None
        return Account.load(stored.value)


@pytest.fixture(params=["memory", "sqlite", "mysql", "dynamodb"])
def opened(request: pytest.FixtureRequest) -> Callable[..., Server]:
    """A function that starts a server; all share the same store."""
    if request.param == "memory":
        table, records = MemoryTaskTable(), MemoryRecords()
        return lambda **settings: Server(table, records, Settings(**settings))
    if request.param == "dynamodb":
        name: str = request.getfixturevalue("dynamodb_table_name")
        return lambda **settings: Server(DynamoTaskTable(name), DynamoRecords(name), Settings(**settings))
    uri: str = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "shared_mysql_database")

    def start(**settings: Any) -> Server:
        database = Database(uri)
        return Server(SqlTaskTable(database), SqlRecords(database), Settings(**settings))

    return start


@pytest.mark.parametrize(
    "limit",
    ["client_submits_per_minute", "client_submits_per_day", "client_unfinished"],
    ids=["minute", "day", "tasks"],
)
def test_of_two_servers_exactly_so_many_submissions_pass(opened: Callable[..., Server], limit: str) -> None:
    servers = [opened(**{limit: 10}) for _ in range(2)]

    def submit(number: int) -> list[str | None]:
        return [servers[number % 2].submit() for _ in range(5)]

    with ThreadPoolExecutor(THREADS) as pool:
        ids = [task_id for five in pool.map(submit, range(THREADS)) for task_id in five]
    accepted = [task_id for task_id in ids if task_id is not None]
    assert len(accepted) == 10
    assert len(set(accepted)) == 10
    assert all(servers[0].table.get(task_id).client == CLIENT for task_id in accepted)
    account = servers[0].account()
    assert (account.minute, account.day, dict(account.unfinished)) == (10, 10, {TODAY: 10})
    assert servers[1].submit("198.51.100.8") is not None


def test_tasks_that_end_at_once_are_all_counted(opened: Callable[..., Server]) -> None:
    servers = [opened(client_unfinished=50, client_submits_per_minute=0) for _ in range(2)]
    sizes = [random.Random(16).randrange(2**40) for _ in range(20)]
    for _ in sizes:
        servers[0].submit()

    def end(number: int) -> None:
        for size in sizes[number::THREADS]:
            task = new_task(client=CLIENT, received=size)
            accounts.settle(task, servers[number % 2].records, now=NOW + 1, ttl_days=30)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(end, range(THREADS)))
    account = servers[0].account()
    assert (account.bytes, dict(account.unfinished)) == (sum(sizes), {})


def test_every_winner_of_the_end_of_a_task_releases_it_once(opened: Callable[..., Server]) -> None:
    """Two callers cancel the same tasks at the same time: one of them ends each, and that one counts."""
    servers = [opened(client_unfinished=10) for _ in range(2)]
    ids = [task_id for _ in range(6) if (task_id := servers[0].submit()) is not None]

    def cancel(server: Server) -> None:
        for task_id in ids[:4]:
            service.cancel(task_id, table=server.table, now=NOW, limiter=server.limiter)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(cancel, servers))
    assert dict(servers[0].account().unfinished) == {TODAY: 2}


def count_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL statements from now on, by their first words."""
    seen: list[str] = []
    for name in ("read", "write"):
        inner = getattr(Database, name)

        def counted(self: Database, statement: sa.Executable, *args: Any, _inner: Any = inner, **more: Any) -> Any:
            seen.append(str(statement).split(None, 1)[0])
            return _inner(self, statement, *args, **more)

        monkeypatch.setattr(Database, name, counted)
    return seen


@pytest.mark.parametrize("uri", ["sqlite_database", "shared_mysql_database"])
def test_a_submission_costs_two_more_statements_and_a_refusal_two_or_none(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    database = Database(request.getfixturevalue(uri))
    server = Server(SqlTaskTable(database), SqlRecords(database), Settings(client_submits_per_minute=3))
    seen = count_statements(monkeypatch)
    server.submit(None)
    assert seen == ["INSERT"]
    seen.clear()
    server.submit()  # the first one of this process counts the unfinished tasks of all
    assert seen == ["SELECT", "SELECT", "INSERT", "INSERT"]
    seen.clear()
    server.submit()
    server.submit()
    assert seen == ["SELECT", "UPDATE", "INSERT"] * 2
    seen.clear()
    assert [server.submit() for _ in range(3)] == [None] * 3
    assert seen == ["SELECT"] * 2
    seen.clear()
    accounts.settle(new_task(client=CLIENT), server.records, now=NOW, ttl_days=30)
    assert seen == ["SELECT", "UPDATE"]


def test_a_submission_costs_two_more_requests_to_dynamodb_and_none_is_a_scan(
    relay: Relay, dynamodb_table_name: str
) -> None:
    server = Server(
        DynamoTaskTable(dynamodb_table_name), DynamoRecords(dynamodb_table_name), Settings(client_submits_per_minute=3)
    )
    server.submit(None)
    assert relay.operations == ["PutItem"]
    relay.operations.clear()
    server.submit()  # the first one of this process counts the unfinished tasks of all
    counts = 2  # a shard of first slices and one of continuations, while they are far from the limit
    assert relay.operations == [*["Query"] * counts, "GetItem", "UpdateItem", "PutItem"]
    assert all(each["Select"] == "COUNT" and each["IndexName"] == "due" for each in relay.requests[-3 - counts : -3])
    relay.operations.clear()
    server.submit()
    server.submit()
    assert relay.operations == ["GetItem", "UpdateItem", "PutItem"] * 2
    relay.operations.clear()
    assert [server.submit() for _ in range(3)] == [None] * 3
    assert relay.operations == ["GetItem"] * 2
    assert [request["ConsistentRead"] for request in relay.requests[-2:]] == [False, True]
    relay.operations.clear()
    accounts.settle(new_task(client=CLIENT), server.records, now=NOW, ttl_days=30)
    assert relay.operations == ["GetItem", "UpdateItem"]
