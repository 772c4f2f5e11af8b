"""The lines of RQ's worker that say what is wrong around it."""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from selfhost import rq_settings, rq_worker
from selfhost.memory import KilledForMemory
from selfhost.migrate import upgrade
from tests.support.stores.every_queue import REDIS, redis_rig
from urlsum import settings, wiring
from urlsum.health import meeting
from urlsum.queues.redis_attendance import RedisAttendance
from urlsum.settings import SECRET, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rq import Queue


@pytest.fixture
def queue() -> Iterator[Queue]:
    """A queue of its own in a real Redis."""
    with redis_rig() as rig:
        queue = rig.rq
        yield queue
        queue.connection.delete(f"urlsum:settings:{queue.name}")


@pytest.fixture
def configured(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the worker."""
    config = Settings(
        tasks_queue_name=queue.name,
        lease_seconds=120,
        mail_password="hunter2",
        database_uri="mysql+pymysql://urlsum:hunter2@db/urlsum",
        api_keys=settings.parse({"api_keys": f"lab:{'0' * 64}"}).api_keys,
    )
    monkeypatch.setattr(settings, "load", lambda: config)
    return config


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "not the server's" in record.getMessage()]


def test_a_worker_says_once_which_settings_differ_from_the_servers(
    queue: Queue, configured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    worker = rq_worker.Worker([queue])
    with caplog.at_level(logging.WARNING):
        worker._compare_settings()
        assert not warnings(caplog)  # no server has started yet
        rq_settings.publish(queue.connection, replace(configured, lease_seconds=90, mail_from="sums@example.org"))
        worker._compare_settings()
        worker._compare_settings()
        [line] = warnings(caplog)
        assert line.endswith(
            ": MAIL_FROM is urlsum@localhost here and sums@example.org there, LEASE_SECONDS is 120 here and 90 there"
        )
        rq_settings.publish(queue.connection, configured)
        worker._compare_settings()
        rq_settings.publish(queue.connection, replace(configured, lease_seconds=60))
        worker._compare_settings()
    assert len(warnings(caplog)) == 2


def test_what_concerns_the_server_alone_may_differ(
    queue: Queue, configured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    rq_settings.publish(
        queue.connection, replace(configured, port=1, allowed_hosts=("a.example",), client_unfinished=3)
    )
    rq_worker.Worker([queue])._compare_settings()
    assert not warnings(caplog)


def test_no_secret_is_written_to_redis(queue: Queue, configured: Settings) -> None:
    rq_settings.publish(queue.connection, configured)
    stored = queue.connection.hgetall(f"urlsum:settings:{queue.name}")
    assert stored
    assert "hunter2" not in str(stored)
    assert not SECRET.intersection(rq_settings.SHARED)


def test_a_worker_whose_process_was_killed_for_memory_says_so(
    queue: Queue, configured: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "memory.max").write_text(f"{128 * 2**20}\n")
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    worker = rq_worker.Worker([queue])
    worker._killed_for_memory = KilledForMemory(tmp_path)
    job = queue.create_job("selfhost.rq_task.run", description="task 1234")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    worker.handle_work_horse_killed(job, 1, 9, usage)
    assert "killed for memory" not in caplog.text  # by somebody
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    worker.handle_work_horse_killed(job, 1, 9, usage)
    assert "the worker of task 1234 was killed for memory: the limit of 128 MiB is too low" in caplog.text


def test_a_worker_says_once_that_its_server_sends_elsewhere(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    config = Settings(
        database_uri=f"sqlite:///{tmp_path}/urlsum.db", redis_url=REDIS, tasks_queue_name=f"{queue.name}-elsewhere"
    )
    monkeypatch.setattr(settings, "load", lambda: config)
    monkeypatch.setattr(meeting, "RETURN_SECONDS", 0.0)
    worker = rq_worker.Worker([queue])
    with caplog.at_level(logging.WARNING):
        worker.run_maintenance_tasks()  # there is no table yet, which the log says
        caplog.clear()
        upgrade(config.database_uri)
        worker.run_maintenance_tasks()
        assert caplog.messages == []  # no server has started yet
        server = wiring.wire(config)
        assert server.meeting is not None
        try:
            server.meeting.announce()
            for _ in range(2):
                worker.run_maintenance_tasks()
            assert caplog.messages == [meeting.ELSEWHERE]
            wiring.meeting_at(config, RedisAttendance(queue.connection, queue.name)).announce()
            worker.run_maintenance_tasks()
            assert caplog.messages == [meeting.ELSEWHERE]
        finally:
            queue.connection.delete(f"urlsum:servers:{config.tasks_queue_name}")
