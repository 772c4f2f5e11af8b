"""GET /metrics: what Prometheus reads, and who may."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfhost.metrics import KEPT_SECONDS, Figures, figures, router
from tests.integration.web.conftest import MD5, NOW, SIZE, Clock, changed, failed, stored
from tests.support.stores.every_table import KINDS
from tests.support.stores.tables import shared_mysql_database, sqlite_uri
from tests.support.web.clients import served
from urlsum import wiring
from urlsum.errors import FailureCode
from urlsum.settings import Settings, parse
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database
from urlsum.task import Failure
from urlsum.web.application import application

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from tests.integration.web.conftest import Backend


@pytest.fixture(params=[kind for kind in KINDS if kind in ("sqlite", "mysql")])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_uri(tmp_path)
    else:
        with shared_mysql_database() as database:
            yield database


def served_at(backend: Backend, settings: Settings) -> FastAPI:
    app = application(router)
    app.dependency_overrides[wiring.provided] = replace(backend, settings=settings).services
    return app


def numbers(lines: list[str]) -> dict[str, float]:
    found = [re.fullmatch(r'([a-z_]+(?:\{[a-z]+="[a-z_]+"\})?) ([0-9.]+)', line) for line in lines if line[:1] != "#"]
    assert all(found)
    return {each[1]: float(each[2]) for each in found if each}


def test_the_figures_are_those_of_the_table(backend: Backend, uri: str) -> None:
    database = Database(uri)
    backend = replace(backend, table=SqlTaskTable(database))
    clock = Clock(NOW + 60)
    lines = Figures(database, clock=clock)()
    assert set(numbers(lines).values()) == {0}
    stored(backend)
    stored(backend, due_at=NOW + 50)
    stored(backend, due_at=NOW + 500)
    failed(backend, Failure(FailureCode.HTTP, "status 404"))
    failed(backend, Failure(FailureCode.TLS, "expired"))
    running = stored(backend)
    claimed = changed(backend, running, running.claimed(NOW, 90))
    changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7))
    found = numbers(Figures(database, clock=clock)())
    assert found['urlsum_tasks{status="queued"}'] == 3
    assert found['urlsum_tasks{status="done"}'] == 1
    assert found['urlsum_tasks{status="failed"}'] == 2
    assert found['urlsum_failures{code="http"}'] == found['urlsum_failures{code="tls"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("urlsum_emails")) == 6
    assert found["urlsum_queue_age_seconds"] == 60
    assert found["urlsum_due_tasks"] >= 2
    database.close()


def test_every_metric_has_its_help_and_type(uri: str) -> None:
    database = Database(uri)
    lines = Figures(database)()
    names = {re.split(r"[ {]", line)[0] for line in lines if line[0] != "#"} | {"urlsum_failures"}
    for what in ("HELP", "TYPE"):
        assert {line.split()[2] for line in lines if line.startswith(f"# {what}")} == names
    database.close()


def test_the_table_is_counted_every_ten_seconds_at_most(backend: Backend, tmp_path: Path) -> None:
    database = Database(sqlite_uri(tmp_path))
    clock = Clock(0)
    read = Figures(database, clock=Clock(NOW), monotonic=clock)
    before = read()
    stored(replace(backend, table=SqlTaskTable(database)))
    clock.now += KEPT_SECONDS - 0.1
    assert read() is before
    clock.now += 0.1
    assert read() != before
    database.close()


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"X-Forwarded-For": "192.0.2.7"}, 404),
        ({"public_url": "https://sums.example.org"}, {}, 404),
        ({"public_url": "https://sums.example.org", "metrics_networks": "127.0.0.0/8"}, {}, 200),
        ({"trusted_proxies": "127.0.0.0/8"}, {"X-Forwarded-For": "192.0.2.7"}, 404),
        ({"trusted_proxies": "127.0.0.0/8", "metrics_networks": "192.0.2.0/24"}, {"X-Forwarded-For": "192.0.2.7"}, 200),
        ({"metrics_networks": "192.0.2.0/24"}, {"X-Forwarded-For": "192.0.2.7"}, 404),
    ],
)
def test_strangers_do_not_find_it(
    backend: Backend, tmp_path: Path, settings: dict[str, str], headers: dict[str, str], status: int
) -> None:
    app = served_at(backend, parse({"database_uri": sqlite_uri(tmp_path), **settings}))
    with served(app) as server:
        answer = server.request("GET", "/metrics", headers=headers)
    assert answer.status == status
    if status == 200:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"\nurlsum_healthy 1\n" in answer.body
    figures.cache_clear()
