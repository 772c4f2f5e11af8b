"""Whether the processes of a deployment meet, with the clocks and the queues set by the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryRecords, MemoryTaskTable
from urlsum.errors import QueueUnavailable
from urlsum.health import Health, HealthCheck
from urlsum.health.meeting import (
    ALIVE_SECONDS,
    CONFIRM_SECONDS,
    ELSEWHERE,
    EVICTS,
    GONE_SECONDS,
    OTHERS_SECONDS,
    SHARED,
    UNATTENDED,
    Meeting,
)
from urlsum.health.watched import WatchedAttendance
from urlsum.outage import Outages

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """One clock for all."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0
        self.meanwhile: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


class Redis:
    """An ``Attendance`` in memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.servers: dict[str, float] = {}
        self.waits = 0.0
        self.policy: str | None = None
        self.down = False

    def announce(self, deployment: str) -> None:
        self.servers[deployment] = self._now()

    def announced(self) -> dict[str, float]:
        return {deployment: self._now() - at for deployment, at in self.servers.items()}

    def unattended(self) -> float:
        self._now()
        return self.waits

    def evicts(self) -> str | None:
        return self.policy

    def _now(self) -> float:
        if self.down:
            raise QueueUnavailable("Redis: no answer")
        return self._world.now


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def table() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
def redis(world: World) -> Redis:
    return Redis(world)


@pytest.fixture
def other(world: World) -> Redis:
    return Redis(world)


def at(world: World, table: MemoryRecords, redis: Redis) -> Meeting:
    """A process with this table and this queue."""
    return Meeting(table, redis, patience=90, clock=world.clock, monotonic=world.clock, sleep=world.sleep)


def serve(world: World, server: Meeting, seconds: float) -> None:
    for _ in range(int(seconds)):
        server.announce()
        world.now += 1


def test_a_worker_that_starts_before_any_server_is_healthy(world: World, table: MemoryRecords, redis: Redis) -> None:
    worker = at(world, table, redis)
    assert worker.faults() == ()
    assert table.records == {}  # to look leaves nothing behind
    serve(world, at(world, table, redis), 1)
    assert worker.faults() == ()


def test_a_worker_with_another_redis_is_named_at_once_and_for_as_long(
    world: World, table: MemoryRecords, redis: Redis, other: Redis
) -> None:
    server, worker = at(world, table, redis), at(world, table, other)
    for _ in range(5):
        serve(world, server, CONFIRM_SECONDS)
        assert worker.faults() == (ELSEWHERE,)
        assert server.faults() == at(world, table, redis).faults() == ()


def test_a_redis_that_lost_its_data_is_no_other(world: World, table: MemoryRecords, redis: Redis) -> None:
    server, worker = at(world, table, redis), at(world, table, redis)
    serve(world, server, 10)
    redis.servers.clear()
    assert server.faults() == ()  # which knows that it sends here
    world.meanwhile = server.announce
    assert worker.faults() == ()
    assert redis.servers != {}


def test_no_worker_is_accused_while_the_server_is_stopped(world: World, table: MemoryRecords, redis: Redis) -> None:
    worker = at(world, table, redis)
    for served in (1, CONFIRM_SECONDS - 1, CONFIRM_SECONDS + 1):
        serve(world, at(world, table, redis), served)
        for _ in range(400):
            world.now += 1
            assert worker.faults() == ()


def test_a_server_that_moved_to_another_redis_leaves_its_workers_behind(
    world: World, table: MemoryRecords, redis: Redis, other: Redis
) -> None:
    serve(world, at(world, table, redis), 10)
    serve(world, at(world, table, other), GONE_SECONDS)
    assert at(world, table, redis).faults() == (ELSEWHERE,)
    assert at(world, table, other).faults() == ()


def test_two_deployments_at_one_queue_are_both_named(world: World, table: MemoryRecords, redis: Redis) -> None:
    theirs = MemoryRecords()
    server, another = at(world, table, redis), at(world, theirs, redis)
    serve(world, server, 1)
    assert another.faults() == (SHARED,)  # a worker with another DATABASE_URI
    serve(world, another, 1)
    assert server.faults() == another.faults() == (SHARED,)


def test_a_table_that_was_made_again_is_another_deployment_for_seconds(
    world: World, table: MemoryRecords, redis: Redis
) -> None:
    serve(world, at(world, table, redis), 1)
    server = at(world, MemoryRecords(), redis)
    serve(world, server, OTHERS_SECONDS)
    assert server.faults() == ()


def test_servers_of_one_table_are_one_deployment(world: World, table: MemoryRecords, redis: Redis) -> None:
    serve(world, at(world, table, redis), 1)
    serve(world, at(world, table, redis), 1)
    assert len(redis.servers) == 1
    assert ALIVE_SECONDS > 2 * CONFIRM_SECONDS


def test_what_an_operator_should_know_is_a_warning(world: World, table: MemoryRecords, redis: Redis) -> None:
    server = at(world, table, redis)
    redis.waits = 90.0
    assert server.warnings() == ()
    redis.waits = 91.0
    assert server.warnings() == (UNATTENDED,)
    redis.policy = "allkeys-lru"
    assert server.warnings() == (UNATTENDED, EVICTS.format("allkeys-lru"))


def test_the_health_has_both_unless_a_store_fails(world: World, table: MemoryRecords, redis: Redis) -> None:
    outages = Outages()
    meeting = Meeting(table, WatchedAttendance(redis, outages.queue), patience=90, clock=world.clock)
    check = HealthCheck(MemoryTaskTable(), MemoryQueue(), outages, meeting=meeting, monotonic=world.clock)
    assert check() == Health()
    redis.servers["another"] = world.now
    redis.waits = 100.0
    world.now += 3
    assert check() == Health((SHARED,), (UNATTENDED,))
    redis.down = True
    world.now += 3
    assert check() == Health(("the queue does not answer",))
