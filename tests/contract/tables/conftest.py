from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.aws.template import create_table
from tests.support.stores.dynamodb import Relay, relayed_moto
from tests.support.stores.tables import migrated_mysql_database as migrated
from tests.support.stores.tables import mysql_database, sqlite_uri
from tests.support.stores.tables import shared_mysql_database as shared
from urlsum.tables import dynamodb
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urlsum.tables import TaskTable


@pytest.fixture(scope="session")
def moto_relay() -> Iterator[Relay]:
    with relayed_moto() as relay:
        yield relay


@pytest.fixture
def relay(moto_relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """DynamoDB, reached as a developer's machine reaches it: through the environment alone."""
    # A machine that tests run on may stop for seconds, and a request that is sent twice is another case.
    monkeypatch.setattr(dynamodb, "READ_SECONDS", 60)
    monkeypatch.setattr(dynamodb, "CONNECT_SECONDS", 60)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_relay.url)
    moto_relay.faults.clear()
    return moto_relay


@pytest.fixture
def dynamodb_table_name(relay: Relay) -> Iterator[str]:
    """The table as template.yaml has it."""
    client = boto3.client("dynamodb")
    name = create_table(client)
    relay.operations.clear()
    yield name
    relay.faults.clear()
    client.delete_table(TableName=name)
    client.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> str:
    return sqlite_uri(tmp_path)


@pytest.fixture
def empty_mysql_database() -> Iterator[str]:
    with mysql_database() as uri:
        yield uri


@pytest.fixture
def migrated_mysql_database() -> Iterator[str]:
    with migrated() as uri:
        yield uri


@pytest.fixture
def shared_mysql_database() -> Iterator[str]:
    with shared() as uri:
        yield uri


@pytest.fixture
def sqlite_table(sqlite_database: str) -> SqlTaskTable:
    return SqlTaskTable(sqlite_database)


@pytest.fixture
def mysql_table(shared_mysql_database: str) -> SqlTaskTable:
    return SqlTaskTable(shared_mysql_database)


@pytest.fixture
def dynamodb_table(dynamodb_table_name: str) -> DynamoTaskTable:
    return DynamoTaskTable(dynamodb_table_name)


@pytest.fixture(params=["sqlite", "mysql", "dynamodb"])
def table(request: pytest.FixtureRequest) -> TaskTable:
    """Each adapter in turn."""
    made: TaskTable = request.getfixturevalue(f"{request.param}_table")
    return made


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port at which nothing answers: it is bound, so nobody else can take it, but nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
