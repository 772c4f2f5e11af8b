"""The limit of connections to one origin, counted by the origin: many names, many processes, many messages."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from functions.hash_worker.app import process
from selfhost.slots import Worker
from tests.integration.faults.test_parallel import SMALL_PARTS, Eager
from tests.integration.origin.conftest import Serve
from tests.integration.origin.conftest import serve as _serve
from tests.support.aws.fake_lambda import Context, record
from tests.support.origin.origin_server import File, Request, Steps, head
from tests.support.processes.worker_group import worker_group
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import new_task, sqlite_uri
from urlsum.origin.guard.guard import Guard
from urlsum.origin.http11.leases import FIRST_LOOKS, LONGEST_LEASE_SECONDS, LOOKS, PlaceLeases
from urlsum.origin.http11.ledger import Ledger
from urlsum.origin.source import HttpSource
from urlsum.queues import encode
from urlsum.settings import Settings, parse
from urlsum.task import Status, Task
from urlsum.wiring import Services, wire

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.tables import TaskTable

serve = _serve
LIMIT = 8
CONTENT = random.Random(7).randbytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SECONDS = 60.0


def add(table: TaskTable, url: str) -> Task:
    now = time.time()
    task = new_task(url=url, created_at=now, updated_at=now, due_at=now, expires_at=int(now) + 1000)
    table.add(task)
    return task


def wait_for(table: TaskTable, tasks: list[Task]) -> None:
    until = time.monotonic() + SECONDS
    while not all(table.get(task.id).complete for task in tasks):
        assert time.monotonic() < until, [table.get(task.id) for task in tasks]
        time.sleep(0.05)


@dataclass
class Held:
    """Small files whose responses are held for a moment; ``at_once`` is how many were at the most."""

    seconds: float
    now: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Steps:
        with self.lock:
            self.now += 1
            self.at_once = max(self.at_once, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return [head("200 OK", "Content-Length: 2"), b"ok"]


@pytest.mark.timeout(120)
def test_eight_names_of_one_address_have_the_connections_of_one(serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT, rate=500_000))
    settings = parse(
        {"database_uri": sqlite_uri(tmp_path), "outbox_dir": str(tmp_path), "allowed_networks": "127.0.0.0/8"}
    )
    worker = Worker(settings)
    guard = Guard(settings, resolve=lambda host: ["127.0.0.1"])
    leases = PlaceLeases(worker.services.records, settings)
    source = HttpSource(settings, guard, leases=leases, tuning=SMALL_PARTS, controller=Eager)
    worker.services = replace(worker.services, guard=guard, source=source, rest=source.rest)
    table = worker.services.table
    tasks = [add(table, origin.url(f"/{n}", host=f"name{n}.example")) for n in range(8)]
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        wait_for(table, tasks)
    finally:
        worker.stop()
        running.join(10)
        for slot in worker.slots:
            slot.join()
    assert {table.get(task.id).md5 for task in tasks} == {MD5}
    assert origin.most_connections == LIMIT


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_two_worker_processes_have_the_connections_of_one(serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT * 8, rate=1_000_000))
    env = {
        "DATABASE_URI": sqlite_uri(tmp_path),
        "OUTBOX_DIR": str(tmp_path),
        "ALLOWED_NETWORKS": "127.0.0.0/8",
        "WORKER_PROCESSES": "1",
        "PYTHONPATH": ":".join(sys.path),
    }
    table = wire(parse({name.lower(): value for name, value in env.items()})).table
    tasks = [add(table, origin.url(f"/{n}", host=("localhost", None)[n % 2])) for n in range(16)]
    with worker_group(tmp_path, env) as workers:
        workers.start(2)
        wait_for(table, tasks)
        # Both processes had some.
        assert workers.said().count("put off") < 100
    assert {table.get(task.id).md5 for task in tasks} == {hashlib.md5(CONTENT * 8).hexdigest()}
    assert LIMIT - 1 <= origin.most_connections <= LIMIT


def lambda_services(settings: Settings, queue: MemoryQueue) -> Services:
    guard, records = Guard(settings), MemoryRecords()
    source = HttpSource(settings, guard, leases=PlaceLeases(records, settings))
    return Services(
        settings=settings,
        table=MemoryTaskTable(),
        records=records,
        secret=lambda: b"",
        queue=queue,
        mailer=MemoryMailer(),
        guard=guard,
        source=source,
        rest=source.rest,
    )


def invoke(services: Services, bodies: list[str]) -> Any:
    records = [record(body, str(number)) for number, body in enumerate(bodies)]
    return process({"Records": records}, Context(), services=lambda: services)


def test_a_batch_of_ten_files_of_one_origin_opens_eight_connections(serve: Serve) -> None:
    held = Held(0.3)
    origin = serve(held)
    services = lambda_services(parse({"allowed_networks": "127.0.0.0/8"}), MemoryQueue())
    tasks = [add(services.table, origin.url(f"/{n}")) for n in range(10)]
    assert invoke(services, [encode(task.id) for task in tasks]) == {"batchItemFailures": []}
    left = [task for task in tasks if not services.table.get(task.id).complete]
    assert (held.at_once, origin.most_connections) == (LIMIT, LIMIT)
    # At least one waits for its turn; what is put off is no failure, and has a message of its own.
    assert len(left) <= 1
    stored = [services.table.get(task.id) for task in left]
    assert [(task.status, task.error, task.attempts, task.slices) for task in stored] == [
        (Status.QUEUED, None, 0, 0) for _ in left
    ]
    assert len(services.queue.sent) == len(left)  # type: ignore[attr-defined]


def test_after_an_invocation_the_next_environment_has_all_places(serve: Serve) -> None:
    origin = serve(Held(0.0))
    settings = parse({"allowed_networks": "127.0.0.0/8"})
    records = MemoryRecords()
    for _ in range(3):
        services = lambda_services(settings, MemoryQueue())
        source = HttpSource(settings, services.guard, leases=PlaceLeases(records, settings))
        services = replace(services, records=records, source=source, rest=source.rest)
        tasks = [add(services.table, origin.url(f"/{n}")) for n in range(8)]
        invoke(services, [encode(task.id) for task in tasks])
        assert [services.table.get(task.id).status for task in tasks] == [Status.DONE] * 8
        # A first lease of few places lapses by itself within seconds; handing it back would cost a write.
        ledgers = [Ledger.load(record.value, time.time(), skew=0.0) for record in records.records.values()]
        kept = [party for ledger in ledgers for party in ledger.parties.values()]
        assert all(party.places <= settings.connections_per_origin // 4 for party in kept)
        assert all(party.until - time.time() <= FIRST_LOOKS * LONGEST_LEASE_SECONDS / LOOKS for party in kept)


def test_a_file_that_meets_the_limit_of_requests_is_put_off_until_the_next_minute(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urlsum.origin.http11.origin_limit.why_special", lambda address: None)
    origin = serve(Held(0.0))
    services = lambda_services(
        parse({"allowed_networks": "127.0.0.0/8", "origin_requests_per_minute": 2}), MemoryQueue()
    )
    tasks = [add(services.table, origin.url(f"/{n}")) for n in range(3)]
    for task in tasks:
        if time.time() % 60 > 57:
            time.sleep(4)
        invoke(services, [encode(task.id)])
    statuses = [services.table.get(task.id).status for task in tasks]
    assert statuses == [Status.DONE, Status.DONE, Status.QUEUED]
    put_off = services.table.get(tasks[-1].id)
    assert put_off.due_at is not None
    assert put_off.due_at % 60 == pytest.approx(0, abs=0.5) or put_off.due_at % 60 > 59.5
    assert len(origin.requests) == 2
