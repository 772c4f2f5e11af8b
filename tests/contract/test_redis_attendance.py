"""Who sends to an RQ queue and takes from it, asked of a real Redis."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from rq import SimpleWorker

from tests.support.stores.every_queue import REDIS, RedisRig, redis_rig
from urlsum.errors import QueueUnavailable
from urlsum.queues.redis import client
from urlsum.queues.redis_attendance import KEPT_SECONDS, RedisAttendance

if TYPE_CHECKING:
    from collections.abc import Iterator

# Jobs are named after their task in the whole of Redis, which other test processes use too.
ID = str(uuid.uuid4())


@pytest.fixture
def rig() -> Iterator[RedisRig]:
    with redis_rig() as made:
        yield made


def attendance(rig: RedisRig, later: float = 0.0) -> RedisAttendance:
    return RedisAttendance(client(REDIS), rig.rq.name, clock=lambda: time.time() + later)


def test_each_deployment_is_known_with_the_time_since_it_was_there(rig: RedisRig) -> None:
    assert attendance(rig).announced() == {}
    for name in ("one", "two", "one"):
        attendance(rig).announce(name)
    found = attendance(rig).announced()
    assert set(found) == {"one", "two"}
    assert found["two"] >= found["one"] >= 0
    assert 0 < rig.rq.connection.ttl(f"urlsum:servers:{rig.rq.name}") <= KEPT_SECONDS


def test_a_deployment_that_has_not_been_there_for_a_day_is_forgotten(rig: RedisRig) -> None:
    rig.rq.connection.zadd(f"urlsum:servers:{rig.rq.name}", {"old": time.time() - 2 * KEPT_SECONDS})
    attendance(rig).announce("new")
    assert set(attendance(rig).announced()) == {"new"}


def test_a_message_that_no_worker_takes_is_unattended_since_it_was_sent(rig: RedisRig) -> None:
    assert attendance(rig, 100).unattended() == 0
    rig.redis.send(ID)
    assert 100 <= attendance(rig, 100).unattended() < 160
    # Of a machine whose clock is ahead.
    assert attendance(rig, -100).unattended() == 0


def test_a_worker_that_is_registered_attends_until_it_leaves_or_its_record_expires(rig: RedisRig) -> None:
    rig.redis.send(ID)
    worker = SimpleWorker([rig.rq], connection=rig.rq.connection)
    worker.register_birth()  # type: ignore[no-untyped-call] # of RQ
    assert attendance(rig, 100).unattended() == 0
    rig.rq.connection.delete(worker.key)  # as Redis does when a worker was killed
    assert attendance(rig, 100).unattended() >= 100
    worker.register_death()  # type: ignore[no-untyped-call] # of RQ
    assert attendance(rig, 100).unattended() >= 100


def test_a_job_that_runs_shows_a_worker_that_redis_has_forgotten(rig: RedisRig) -> None:
    rig.redis.send(ID)
    [_] = rig.redis.receive(1, wait=5)
    rig.redis.send(ID)
    assert attendance(rig, 100).unattended() == 0


def test_a_message_without_its_job_is_not_judged(rig: RedisRig) -> None:
    rig.rq.connection.lpush(rig.rq.key, "gone")
    assert attendance(rig, 100).unattended() == 0


def test_a_redis_that_refuses_what_does_not_fit_evicts_nothing(rig: RedisRig) -> None:
    assert attendance(rig).evicts() is None  # the default


def test_a_redis_that_is_away_is_unavailable() -> None:
    away = RedisAttendance(Redis(port=9, socket_connect_timeout=0.2), "urlsum-test")
    for call in (lambda: away.announce("one"), away.announced, away.unattended, away.evicts):
        with pytest.raises(QueueUnavailable):
            call()
