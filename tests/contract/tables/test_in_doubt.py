"""What a 503 promises while a real MySQL or MariaDB does not answer: nothing was accepted, or that is not known."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.support.stores.memory import MemoryQueue, secret
from tests.support.stores.relay import TcpRelay, relayed
from tests.support.stores.tables import MYSQL, NOW, execute, new_task
from urlsum import service
from urlsum.errors import LeaseLost, TableUnavailable
from urlsum.origin.guard.guard import Guard
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database
from urlsum.task import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of a statement; it waits for locks for half of it, and MySQL counts whole seconds.
TIMEOUT = 2.0


@dataclass
class Store:
    """A database behind a relay, and beside it as an operator sees it."""

    uri: str
    relay: TcpRelay
    table: SqlTaskTable

    def submit(self, **fields: str) -> str:
        return service.submit(
            Submission(url="https://example.org/f", **fields),  # type: ignore[arg-type] # text
            table=self.table,
            queue=MemoryQueue(),
            guard=Guard(Settings()),
            secret=secret,
            now=NOW,
            ttl_days=30,
        )

    def rows(self) -> list[tuple[str, str]]:
        """The status of each task, and whether it is due."""
        return [(row[0], "due" if row[1] else "") for row in execute(self.uri, "SELECT status, due_at FROM tasks")]

    @contextmanager
    def locked(self, *statements: str) -> Iterator[None]:
        """Hold a lock from another connection."""
        engine = sa.create_engine(self.uri, poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            yield


@pytest.fixture
def store(migrated_mysql_database: str) -> Iterator[Store]:
    url = sa.make_url(migrated_mysql_database)
    with relayed((url.host or "127.0.0.1", url.port or 3306)) as relay:
        through = url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
        database = Database(through, timeout=TIMEOUT)
        # The pool would check a connection before its use, and replace it. Here it breaks between check and statement.
        database._store._engine.pool._pre_ping = False  # type: ignore[union-attr]
        yield Store(migrated_mysql_database, relay, SqlTaskTable(database))
        database.close()


@pytest.mark.parametrize(
    "lock",
    [
        ("FLUSH TABLES WITH READ LOCK",),
        pytest.param(("LOCK TABLES tasks READ",), marks=pytest.mark.long),
        pytest.param(("LOCK TABLES tasks WRITE",), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_lock_that_outlasts_the_wait_leaves_nothing_for_later(store: Store, lock: tuple[str]) -> None:
    with store.locked(*lock):
        with pytest.raises(TableUnavailable, match="1205") as caught:
            store.submit()
        assert not caught.value.in_doubt
    time.sleep(0.3)
    assert store.rows() == []


@pytest.mark.long
def test_a_row_that_another_transaction_locks_keeps_its_state(store: Store) -> None:
    task = new_task()
    store.table.add(task)
    with store.locked("START TRANSACTION", f"SELECT * FROM tasks WHERE id = '{task.id}' FOR UPDATE"):
        with pytest.raises(TableUnavailable, match="1205") as caught:
            service.cancel(task.id, table=store.table, now=NOW)
        assert not caught.value.in_doubt
    time.sleep(0.3)
    assert store.table.get(task.id) == task


def test_a_database_that_may_not_be_written_refuses_at_once(store: Store) -> None:
    user = f"reader_{store.uri.rpartition('_')[2][:8]}"
    database = sa.make_url(store.uri).database
    execute(MYSQL, f"CREATE USER {user}@'%%' IDENTIFIED BY 'x'")
    try:
        execute(MYSQL, f"GRANT SELECT ON {database}.* TO {user}@'%%'")
        uri = sa.make_url(store.uri).set(username=user, password="x").render_as_string(hide_password=False)
        reader = Database(uri, timeout=TIMEOUT)
        with pytest.raises(TableUnavailable) as caught:
            SqlTaskTable(reader).add(new_task())
        assert not caught.value.in_doubt
        reader.close()
    finally:
        execute(MYSQL, f"DROP USER {user}@'%%'")


def test_an_insert_whose_reply_is_lost_is_taken_back(store: Store) -> None:
    assert store.table.due(NOW, 10) == []  # a connection is open
    store.relay.lose_replies()
    with pytest.raises(TableUnavailable) as caught:
        store.submit()
    assert not caught.value.in_doubt
    assert store.rows() == [("cancelled", "")]
    assert store.table.due(NOW, 10) == []


def test_an_insert_that_arrives_after_it_was_taken_back_is_refused(store: Store) -> None:
    assert store.table.due(NOW, 10) == []
    store.relay.lose_replies(hold_requests=True)
    with pytest.raises(TableUnavailable) as caught:
        store.submit()
    assert not caught.value.in_doubt
    assert store.rows() == [("cancelled", "")]
    store.relay.deliver()
    time.sleep(0.3)
    assert store.rows() == [("cancelled", "")]


def test_with_a_key_the_client_settles_what_is_in_doubt(store: Store) -> None:
    assert store.table.due(NOW, 10) == []
    store.relay.lose_replies()
    with pytest.raises(TableUnavailable) as caught:
        store.submit(idempotency_key="k")
    assert caught.value.in_doubt
    task_id = store.submit(idempotency_key="k")
    assert store.rows() == [("queued", "due")]
    assert store.table.get(task_id).status is Status.QUEUED


def test_a_server_that_accepts_no_connection_has_accepted_nothing(store: Store) -> None:
    store.relay.close()
    with pytest.raises(TableUnavailable) as caught:
        store.submit()
    assert not caught.value.in_doubt


@pytest.mark.long
def test_a_cancellation_whose_reply_is_lost_is_in_doubt(store: Store) -> None:
    task = new_task()
    store.table.add(task)
    save = store.table.save

    def lose(*arguments: object, **keywords: object) -> None:
        store.relay.lose_replies()
        save(*arguments, **keywords)  # type: ignore[arg-type]

    store.table.save = lose  # type: ignore[method-assign]
    with pytest.raises(TableUnavailable) as caught:
        service.cancel(task.id, table=store.table, now=NOW)
    assert caught.value.in_doubt
    assert store.rows() == [("cancelled", "")]
    with pytest.raises(LeaseLost):
        save(task, over=task)
