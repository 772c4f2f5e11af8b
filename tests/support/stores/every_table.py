"""Each kind of task table, and of records, in this process, for the duration of a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import moto

from tests.support.aws.template import create_table
from tests.support.stores.memory import MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import shared_mysql_database, sqlite_uri
from urlsum.tables.dynamodb import DynamoRecords, DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database
from urlsum.tables.sql_records import SqlRecords

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urlsum.tables import Records, TaskTable

KINDS = ("memory", "sqlite", "mysql", "dynamodb")


@contextmanager
def store(kind: str, directory: Path) -> Iterator[TaskTable]:
    """Yield an empty table of this kind."""
    match kind:
        case "memory":
            yield MemoryTaskTable()
        case "sqlite":
            yield SqlTaskTable(sqlite_uri(directory))
        case "mysql":
            with shared_mysql_database() as uri:
                yield SqlTaskTable(uri)
        case "dynamodb":
            with moto.mock_aws():
                client = boto3.client("dynamodb")
                yield DynamoTaskTable(create_table(client))
                client.close()


@contextmanager
def records(kind: str, directory: Path) -> Iterator[Records]:
    """Yield empty records of this kind."""
    match kind:
        case "memory":
            yield MemoryRecords()
        case "sqlite":
            yield SqlRecords(Database(sqlite_uri(directory)))
        case "mysql":
            with shared_mysql_database() as uri:
                yield SqlRecords(Database(uri))
        case "dynamodb":
            with moto.mock_aws():
                client = boto3.client("dynamodb")
                yield DynamoRecords(create_table(client))
                client.close()
