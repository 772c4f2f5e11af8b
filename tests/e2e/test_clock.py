"""Processes on a machine whose clock is wrong (libfaketime, a package of Debian), beside a right database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.sam_local import free_port
from tests.support.origin import range_server
from tests.support.stores.every_queue import REDIS, redis_rig
from tests.support.stores.tables import mysql_database, new_task
from urlsum.queues import decode
from urlsum.queues.redis import RedisQueue, client
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    if not FAKETIME:
        pytest.skip("libfaketime is not installed")
    with mysql_database() as uri, redis_rig() as rig:
        yield {
            **os.environ,
            "DATABASE_URI": uri,
            "REDIS_URL": REDIS,
            "TASKS_QUEUE_NAME": rig.rq.name,
            "OUTBOX_DIR": str(tmp_path),
            "PORT": str(free_port()),
            "ALLOWED_NETWORKS": "127.0.0.0/8",
            "CONTACT": "https://example.org",
            "LD_PRELOAD": str(FAKETIME[0]),
            "DONT_FAKE_MONOTONIC": "1",
        }


def migrate(environment: dict[str, str]) -> None:
    true = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
    subprocess.run([sys.executable, "-m", "selfhost.migrate"], cwd=ROOT, env=true, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("process", "offset"),
    [
        ("worker", "-300s"),
        pytest.param("worker", "+300s", marks=pytest.mark.long),
        pytest.param("server", "-300s", marks=pytest.mark.long),
        pytest.param("rq", "-300s", marks=pytest.mark.long),
    ],
)
def test_a_process_five_minutes_off_does_not_start_and_says_why(
    environment: dict[str, str], process: str, offset: str
) -> None:
    migrate(environment)
    rq = [str(Path(sys.executable).with_name("rq")), "worker", "-c", "selfhost.rq_config"]
    command = rq if process == "rq" else [sys.executable, "-m", f"selfhost.{process}"]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "FAKETIME": offset, "WORKER_PROCESSES": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    side = "behind" if offset.startswith("-") else "ahead of"
    *notes, line = ended.stderr.splitlines()
    assert line == f"urlsum: the clock of this machine is 300 s {side} the database's; set both by NTP"
    assert all(" WARNING " in note for note in notes)  # of variables that nearly are settings
    assert ended.returncode == (1 if process == "rq" else 2)


@pytest.mark.long
def test_a_plain_rq_worker_five_minutes_off_returns_its_first_job_and_stops(environment: dict[str, str]) -> None:
    migrate(environment)
    name = environment["TASKS_QUEUE_NAME"]
    queue = RedisQueue(client(REDIS), name, slice_seconds=240, lease_seconds=90)
    task_id = new_task().id
    queue.send(task_id)
    command = [str(Path(sys.executable).with_name("rq")), "worker", "-u", REDIS, name]
    env = {**environment, "FAKETIME": "-300s"}
    worker = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False)
    told = worker.stdout + worker.stderr
    assert (
        told.count("the clock of this machine is 300 s behind the database's; set both by NTP; this worker stops") == 1
    )
    assert "Traceback" not in told
    assert queue.held().tasks == {task_id}
    # For the server, whose clock is right, its time has come.
    queue.requeue_due_and_abandoned()
    assert [decode(delivery.body) for delivery in queue.receive(1, wait=0)] == [task_id]


@pytest.mark.long
def test_a_worker_a_few_seconds_behind_writes_the_databases_time(environment: dict[str, str]) -> None:
    migrate(environment)
    database = Database(environment["DATABASE_URI"])
    with range_server.serving() as origin:
        table, now = SqlTaskTable(database), time.time()
        task = new_task(
            url=f"{origin}/1000/0/f", created_at=now, updated_at=now, due_at=now, expires_at=int(now) + 10**6
        )
        table.add(task)
        env = {**environment, "FAKETIME": "-9s", "WORKER_PROCESSES": "1"}
        del env["REDIS_URL"]  # the table is the queue
        worker = subprocess.Popen([sys.executable, "-m", "selfhost.worker"], cwd=ROOT, env=env)
        try:
            while (found := table.get(task.id)).finished_at is None:
                assert worker.poll() is None
                assert time.time() < now + 60
                time.sleep(0.05)
            seen = time.time()
        finally:
            worker.kill()
            worker.wait()
    database.close()
    assert found.md5 == range_server.md5(1000)
    assert found.finished_at >= now
    assert seen - found.finished_at < 9
