"""What only the queue in Redis has: RQ's books, other RQ workers, a server that loses its data or its voice."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from rq import SimpleWorker
from rq.job import Job

from tests.support.stores.every_queue import REDIS, RedisRig, redis_rig
from urlsum.errors import QueueUnavailable, SettingsError
from urlsum.queues import Delivery, decode
from urlsum.queues import redis as adapter
from urlsum.queues.redis import RedisQueue, client, client_like

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"


@pytest.fixture
def rig() -> Iterator[RedisRig]:
    with redis_rig() as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(adapter.CLIENT_OPTIONS, "socket_connect_timeout", 0.1)
    monkeypatch.setitem(adapter.CLIENT_OPTIONS, "socket_timeout", 0.1)


def queue_at(url: str) -> RedisQueue:
    return RedisQueue(client(url), "urlsum-test", slice_seconds=240, lease_seconds=90)


def assert_unavailable(queue: RedisQueue) -> None:
    delivery = Delivery(ID, ID, "{}")
    for call in (
        lambda: queue.send(ID),
        lambda: queue.send(ID, delay=5),
        lambda: queue.receive(1, wait=0),
        lambda: queue.delete(delivery),
        queue.requeue_due_and_abandoned,
    ):
        with pytest.raises(QueueUnavailable, match=r"\ARedis: "):
            call()


def put_off(rig: RedisRig, job_id: str, seconds: float) -> None:
    """Move a delayed job's time."""
    rig.rq.connection.zadd(rig.rq.scheduled_job_registry.key, {job_id: time.time() + seconds}, xx=True)


def test_a_message_is_a_job_that_any_rq_worker_can_do(rig: RedisRig) -> None:
    task_id = rig.submit()
    [job] = rig.rq.jobs
    assert (job.func_name, job.args) == ("selfhost.rq_task.run", (task_id,))
    # RQ's own 180 s would end a slice in the middle, and its 500 s of results would fill Redis.
    assert (job.timeout, job.result_ttl) == (240 + 120, 0)


def test_every_message_is_a_job_of_its_own(rig: RedisRig) -> None:
    # RQ deletes a job when it is done: a task that sends itself again must not be that job.
    for _ in range(2):
        rig.queue.send(ID)
    assert len(set(rig.rq.job_ids)) == 2


def test_a_delayed_message_never_comes_early(rig: RedisRig) -> None:
    begin = time.time()
    rig.submit(delay=0.3)
    [job_id] = rig.rq.scheduled_job_registry.get_job_ids()
    assert begin + 0.3 <= rig.rq.scheduled_job_registry.get_scheduled_time(job_id).timestamp() <= begin + 1.4


def test_many_that_requeue_at_once_neither_lose_nor_double_a_message(rig: RedisRig) -> None:
    sent = {rig.submit(delay=1000) for _ in range(200)}
    for job_id in rig.rq.scheduled_job_registry.get_job_ids():
        put_off(rig, job_id, -1)
    queues = [RedisQueue(client(REDIS), rig.rq.name, slice_seconds=240, lease_seconds=90) for _ in range(6)]
    threads = [threading.Thread(target=queue.requeue_due_and_abandoned) for queue in queues for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.queue.send(ID)  # one more, so that the last of the others is seen to be the last
    got = [job.args[0] for job in rig.rq.jobs]
    assert sorted(got) == sorted([*sent, ID])


def test_a_delayed_job_that_was_deleted_is_forgotten(rig: RedisRig) -> None:
    rig.submit(delay=1000)
    [job_id] = rig.rq.scheduled_job_registry.get_job_ids()
    rig.rq.connection.delete(Job.key_for(job_id))
    put_off(rig, job_id, -1)
    assert list(rig.queue.receive(1, wait=0)) == []
    assert rig.rq.scheduled_job_registry.get_job_ids() == []


def test_the_job_of_a_dead_worker_comes_again_when_its_lease_has_lapsed(rig: RedisRig) -> None:
    rig.submit()
    [delivery] = rig.queue.receive(1, wait=0)
    expire(rig, delivery, ago=25)  # RQ would give it to another worker now, who could not take it
    assert list(rig.queue.receive(1, wait=0)) == []
    expire(rig, delivery, ago=35)
    [again] = rig.queue.receive(1, wait=0)
    assert again.message_id == delivery.message_id


def test_a_message_that_kills_every_worker_ends_among_the_failed(rig: RedisRig) -> None:
    rig.submit()
    deliveries = 0
    while batch := rig.queue.receive(1, wait=0):
        [delivery] = batch
        deliveries += 1
        expire(rig, delivery, ago=1000)
    assert deliveries == 1 + adapter.MAX_WORKER_DEATHS == 4
    assert rig.rq.failed_job_registry.get_job_ids() == [delivery.message_id]


def expire(rig: RedisRig, delivery: Delivery, *, ago: float) -> None:
    member = f"{delivery.message_id}:{delivery.receipt}"
    rig.rq.connection.zadd(rig.rq.started_job_registry.key, {member: time.time() - ago}, xx=True)


def test_nothing_is_left_of_a_message_that_was_deleted(rig: RedisRig) -> None:
    rig.submit()
    [delivery] = rig.queue.receive(1, wait=0)
    rig.queue.delete(delivery)
    left = {key.decode() for key in rig.rq.connection.scan_iter(f"*{delivery.message_id}*")}
    left |= {key.decode() for key in rig.rq.connection.scan_iter(f"*{rig.rq.name}*")}
    assert left == set()


def test_a_redis_that_lost_its_data_takes_the_next_message(rig: RedisRig) -> None:
    rig.submit()
    [delivery] = rig.queue.receive(1, wait=0)
    for key in rig.rq.connection.scan_iter(f"*{delivery.message_id}*"):
        rig.rq.connection.delete(key)
    rig.queue.delete(delivery)
    task_id = rig.submit()
    assert [decode(delivery.body) for delivery in rig.queue.receive(1, wait=0)] == [task_id]


def test_rqs_own_worker_and_the_port_share_one_queue(rig: RedisRig) -> None:
    ids = [rig.submit() for _ in range(2)]
    [delivery] = rig.queue.receive(1, wait=0)
    taken = SimpleWorker([rig.rq], connection=rig.rq.connection).dequeue_job_and_maintain_ttl(None)
    assert taken is not None
    assert [decode(delivery.body), taken[0].args[0]] == ids
    assert list(rig.queue.receive(1, wait=0)) == []


def test_a_client_like_another_reaches_the_same_data_and_gives_up_sooner(rig: RedisRig) -> None:
    worker = SimpleWorker([rig.rq], connection=rig.rq.connection)
    like = client_like(worker.connection)
    kwargs = like.connection_pool.connection_kwargs
    assert kwargs["db"] == rig.rq.connection.connection_pool.connection_kwargs["db"]
    assert kwargs["socket_timeout"] == 4 < rig.rq.connection.connection_pool.connection_kwargs["socket_timeout"]
    RedisQueue(like, rig.rq.name, slice_seconds=240, lease_seconds=90).send(ID)
    assert len(rig.rq) == 1
    like.close()


def test_a_dead_server_is_an_outage() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody else can take the port, but nothing listens
        assert_unavailable(queue_at(f"redis://127.0.0.1:{bound.getsockname()[1]}/0"))


@pytest.mark.usefixtures("impatient")
def test_a_silent_server_is_an_outage_within_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = queue_at(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        begin = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.send(ID)
        assert time.monotonic() - begin < 3


def test_a_refused_login_is_an_outage_and_shows_no_password() -> None:
    url = REDIS.replace("redis://", "redis://nobody:hunter2@")
    with pytest.raises(QueueUnavailable, match=r"\ARedis: (?!.*hunter2)"):
        queue_at(url).send(ID)


@pytest.mark.parametrize("url", ["nonsense", "http://u:hunter2@h/0", "redis://u:hunter2@h:port/0"])
def test_a_wrong_url_names_the_setting_and_hides_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\AREDIS_URL: (?!.*hunter2)") as caught:
        client(url)
    assert "\n" not in str(caught.value)
