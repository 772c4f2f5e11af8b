"""Each kind of task table in this process, for the duration of a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import moto

from selfhost.migrate import upgrade
from tests.support.aws.template import create_table
from tests.support.stores.memory import MemoryTaskTable
from tests.support.stores.tables import mysql_database, sqlite_uri
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urlsum.tables import TaskTable

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
            with mysql_database() as uri:
                upgrade(uri)
                yield SqlTaskTable(uri)
        case "dynamodb":
            with moto.mock_aws():
                client = boto3.client("dynamodb")
                yield DynamoTaskTable(create_table(client))
                client.close()
