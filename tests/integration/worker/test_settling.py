"""Each process that sweeps counts the tasks that it gives up."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from functions.sweeper import app as sweeper
from selfhost.rq_maintenance import RqMaintenance
from selfhost.slots import Worker
from tests.support.aws.fake_lambda import Context
from tests.support.stores.memory import MemoryQueue
from tests.support.stores.tables import new_task, sqlite_uri
from urlsum import wiring
from urlsum.limits.account import Account
from urlsum.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from urlsum.wiring import Services

CLIENT = "198.51.100.7"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """A table in which a task has used up its attempts: the worker of the last one died."""
    wired = wiring.wire(parse({"database_uri": sqlite_uri(tmp_path), "sweep_seconds": "0.05"}))
    now = time.time()
    task = new_task(client=CLIENT, created_at=now, updated_at=now, expires_at=2**40, attempts=4)
    task = task.claimed(now - 1000, wired.settings.lease_seconds)
    wired.limiter.admit(task)
    wired.table.add(task)
    return wired


def unfinished(services: Services) -> int:
    stored = services.records.read(f"client:{CLIENT}")
    assert stored is not None
    return sum(Account.load(stored.value).unfinished.values())


def on_lambda(services: Services) -> None:
    sweeper.process({}, Context(150.0), services=lambda: replace(services, queue=MemoryQueue()))


def beside_rq(services: Services) -> None:
    RqMaintenance(services, MemoryQueue())._sweep()  # type: ignore[arg-type] # this needs nothing of RQ


def in_a_worker(services: Services) -> None:
    worker = Worker(services.settings)
    worker.sweeper.start()
    until = time.monotonic() + 10
    while unfinished(services) and time.monotonic() < until:
        time.sleep(0.01)
    worker.stop()
    worker.sweeper.join(10)


@pytest.mark.parametrize("sweep", [on_lambda, beside_rq, in_a_worker])
def test_a_task_that_is_given_up_is_no_longer_unfinished(services: Services, sweep: Callable[[Services], None]) -> None:
    assert unfinished(services) == 1
    sweep(services)
    assert unfinished(services) == 0
