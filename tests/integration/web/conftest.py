from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from functions.check.app import router as check
from functions.submit.app import router as submit
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable, secret
from tests.support.stores.tables import sqlite_uri
from tests.support.web.clients import Client, GatewayClient, close_servers, served
from urlsum import wiring
from urlsum.settings import Settings
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Failure, Mail, Proof, Representation, Task
from urlsum.web.application import application
from urlsum.wiring import Services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from urlsum.tables import Records

NOW = 1_793_872_800.0  # 2026-11-05T10:00:00Z
URL = "http://site.com/file.txt"
MD5 = "f4af8a0e1d1e8d3b5f4a9f6f2f3cbd9e"
SIZE = 734003200


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Backend:
    """The services behind the requests of one test."""

    table: MemoryTaskTable | SqlTaskTable
    records: Records = field(default_factory=MemoryRecords)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    clock: Clock = field(default_factory=Clock)
    settings: Settings = field(default_factory=Settings)

    def services(self) -> Services:
        wired = wiring.wire(self.settings)
        return Services(
            settings=self.settings,
            table=self.table,
            records=self.records,
            secret=secret,
            queue=self.queue,
            mailer=MemoryMailer(),
            guard=wired.guard,
            source=wired.source,
            clock=self.clock,
        )

    def app(self) -> FastAPI:
        app = application(submit, check)
        app.dependency_overrides[wiring.provided] = self.services
        return app


def stored(backend: Backend, **fields: Any) -> Task:
    defaults: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "url": URL,
        "email": "example@abc.ru",
        "mail": Mail.PENDING,
        "created_at": NOW,
        "updated_at": NOW,
        "due_at": NOW,
        "expires_at": int(NOW) + 86400,
    }
    task = Task(**{**defaults, **fields})
    backend.table.add(task)
    return task


def changed(backend: Backend, old: Task, new: Task) -> Task:
    backend.table.save(new, over=old)
    return new


def described(backend: Backend, *, url: str = URL, size: int = SIZE, **facts: Any) -> Task:
    """A done task with the representation of the file."""
    task = stored(backend, url=url)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    known = Representation(**{"name": "file.txt", "final_url": url, "etag": '"v1"', "proof": Proof.ETAG, **facts})
    return changed(backend, claimed, claimed.done(MD5, size, NOW + 7, representation=known))


def failed(backend: Backend, failure: Failure) -> Task:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    return changed(backend, claimed, claimed.failed(failure, NOW + 7))


@pytest.fixture(scope="session", autouse=True)
def _servers() -> Iterator[None]:
    yield
    close_servers()


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> SqlTaskTable:
    """One table for all tests: the connections of one per test would stay open until they are garbage-collected."""
    return SqlTaskTable(sqlite_uri(tmp_path_factory.mktemp("web")))


@pytest.fixture
def backend(table: SqlTaskTable) -> Backend:
    """A backend on SQLite."""
    return Backend(table)


@pytest.fixture(params=["server", "gateway"])
def client(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Client]:
    """The contract must be the same through both."""
    if request.param == "gateway":
        with closing(GatewayClient(backend.app())) as gateway:
            yield gateway
    else:
        with served(backend.app()) as server:
            yield server
