"""What only the queue in Redis has: RQ's books, other RQ workers, a server that loses its data or its voice."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rq import SimpleWorker
from rq.job import Job

from tests.support.stores.every_queue import REDIS, RedisRig, redis_rig
from tests.support.stores.memory import MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.errors import QueueUnavailable, SettingsError
from urlsum.queues import Delivery, decode
from urlsum.queues import redis as adapter
from urlsum.queues.redis import RedisQueue, client, client_like
from urlsum.settings import Settings
from urlsum.tables import Overdue
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.task import Task

# Jobs are named after their task in the whole of Redis, which other test processes use too.
ID = str(uuid.uuid4())


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
        queue.admit,
        lambda: queue.send(ID, continued=True),
        lambda: queue.count_waiting(60),
        queue.held,
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


def test_a_continuation_waits_where_no_rq_worker_looks(rig: RedisRig) -> None:
    rig.submit(continued=True)
    assert rig.rq.job_ids == []
    rig.redis.admit()
    [job] = rig.rq.jobs
    assert (job.func_name, job.origin) == ("selfhost.rq_task.run", rig.rq.name)
    assert rig.continuations.scheduled_job_registry.get_job_ids() == []


def test_one_continuation_is_admitted_at_a_time_and_none_while_a_first_slice_waits(rig: RedisRig) -> None:
    for _ in range(3):
        rig.submit(continued=True)
    for _ in range(3):
        rig.redis.admit()
    assert len(rig.rq) == 1
    [admitted] = rig.queue.receive(1, wait=0)
    first = rig.submit()
    rig.redis.admit()  # a quarter of one worker, which is one, has a continuation already
    assert [job.args[0] for job in rig.rq.jobs] == [first]
    rig.queue.delete(admitted)


def test_a_continuation_goes_before_first_slices_if_no_worker_has_one(rig: RedisRig) -> None:
    first = [rig.submit() for _ in range(2)]
    continued = [rig.submit(continued=True) for _ in range(2)]
    for _ in range(3):
        rig.redis.admit()
    ids = [job.args[0] for job in rig.rq.jobs]
    assert ids[0] in continued
    assert ids[1:] == first


def test_the_server_admits_a_continuation_only_for_an_idle_worker(rig: RedisRig) -> None:
    rig.submit(continued=True)
    worker = SimpleWorker([rig.rq], connection=rig.rq.connection)
    worker.register_birth()  # type: ignore[no-untyped-call] # of RQ
    try:
        rig.submit()
        [running] = rig.queue.receive(1, wait=0)
        rig.redis.admit_for_idle()
        assert len(rig.rq) == 0
        rig.queue.delete(running)
        rig.redis.admit_for_idle()
        assert len(rig.rq) == 1
    finally:
        worker.register_death()  # type: ignore[no-untyped-call] # of RQ


def test_after_a_loss_of_data_the_server_admits_a_continuation_for_workers_that_redis_no_longer_knows(
    rig: RedisRig,
) -> None:
    rig.submit(continued=True)
    rig.submit(continued=True)
    for _ in range(3):
        rig.redis.admit_for_idle()
    assert len(rig.rq) == 1
    [_running] = rig.queue.receive(1, wait=0)
    rig.redis.admit_for_idle()
    assert len(rig.rq) == 0


@pytest.mark.parametrize("continued", [False, True])
@pytest.mark.parametrize("delay", [0, 1000])
def test_what_waits_is_sent_again_only_once(rig: RedisRig, continued: bool, delay: float) -> None:
    for _ in range(3):
        rig.queue.send(ID, delay=delay, continued=continued)
    registries = (rig.rq.scheduled_job_registry, rig.continuations.scheduled_job_registry)
    assert len(rig.rq) + sum(len(registry.get_job_ids()) for registry in registries) == 1
    rig.queue.send(ID, continued=continued)  # the wait can be cut short
    rig.redis.requeue_due_and_abandoned()
    rig.redis.admit()
    rig.queue.send(ID, continued=continued)  # by a sweep, while the job waits in the queue
    assert len(rig.rq) == 1
    [running] = rig.queue.receive(1, wait=0)
    rig.queue.send(ID, continued=continued)  # by the worker, whose job is deleted afterwards
    rig.queue.delete(running)
    [again] = rig.queue.receive(1, wait=0)
    assert decode(again.body) == ID


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("delay", [0, 1000])
def test_a_task_has_one_message_of_either_kind(rig: RedisRig, first: bool, delay: float) -> None:
    rig.queue.send(ID, delay=delay, continued=first)
    rig.queue.send(ID, continued=not first)  # as a repeated submission does
    assert places(rig) == 1
    rig.redis.requeue_due_and_abandoned()
    rig.redis.admit()
    assert [decode(delivery.body) for delivery in rig.queue.receive(10, wait=0)] == [ID]


def test_a_continuation_that_rq_retries_has_one_message(rig: RedisRig) -> None:
    rig.queue.send(ID, continued=True)
    rig.redis.admit()
    [job] = rig.rq.jobs
    rig.rq.remove(job)
    rig.rq.schedule_job(job, datetime.fromtimestamp(time.time() + 10, UTC))  # RQ does so if the job returns a Retry
    rig.queue.send(ID, continued=True)
    assert places(rig) == 1


def test_of_many_senders_at_once_one_sends(rig: RedisRig) -> None:
    queues = [RedisQueue(client(REDIS), rig.rq.name, slice_seconds=240, lease_seconds=90) for _ in range(6)]
    for n in range(20):
        task_id = f"{n:08x}{ID[8:]}"
        threads = [
            threading.Thread(target=queue.send, args=(task_id,), kwargs={"continued": k % 2 == 1})
            for k, queue in enumerate(queues)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert places(rig) == n + 1


def places(rig: RedisRig) -> int:
    """How many messages wait."""
    registries = (rig.rq.scheduled_job_registry, rig.continuations.scheduled_job_registry)
    return len(rig.rq.job_ids) + sum(len(registry.get_job_ids()) for registry in registries)


def test_says_which_tasks_have_a_message(rig: RedisRig) -> None:
    running = rig.submit()
    [_delivery] = rig.queue.receive(1, wait=0)
    have = {rig.submit(), rig.submit(delay=1000), rig.submit(continued=True), running}
    mailing = new_task().id
    rig.redis.send_email(mailing)
    have.add(mailing)
    waiting = [Overdue(task_id, 0.0, 0.0, continued=False) for task_id in sorted(have | {ID})]
    assert rig.queue.held().missing(waiting) == [ID]


def test_20000_that_wait_get_no_other_message_and_rq_info_shrinks_as_work_does(rig: RedisRig) -> None:
    """Beside them a task that has lost its message, and one whose worker died."""
    table, now, count = MemoryTaskTable(), time.time(), 20_000
    tasks = [new_task(created_at=now, updated_at=now, due_at=now) for _ in range(count + 1)]
    died = new_task(created_at=now, updated_at=now, due_at=now).claimed(now, 90)
    for task in [*tasks, died]:
        table.add(task)
    enqueue(rig, tasks[:count])
    sent: list[int] = []
    for minute in range(3, 6):
        swept = sweep(table, rig.queue, now=now + 60 * minute, settings=Settings())
        sent.append(swept.resent)
        for job_id in rig.rq.get_job_ids(0, 100):  # the work of a minute
            rig.rq.remove(job_id)
            task = table.get(job_id.rpartition("-")[0])
            table.save(replace(task, due_at=None), over=task)
        assert len(rig.rq) == count + 2 - 100 * (minute - 2)
    assert sent == [2, 0, 0]
    with rig.rq.connection.pipeline(transaction=False) as pipeline:  # the rig would delete them one by one
        for job_id in rig.rq.get_job_ids():
            pipeline.delete(Job.key_for(job_id))
        pipeline.delete(rig.rq.key)
        pipeline.execute()


def enqueue(rig: RedisRig, tasks: list[Task]) -> None:
    """Send as many messages as would take a minute one by one."""
    template = rig.redis._job(ID, "template")
    template.save()
    fields: dict[Any, Any] = {**rig.rq.connection.hgetall(template.key), "status": "queued"}
    template.delete()
    with rig.rq.connection.pipeline(transaction=False) as pipeline:
        for task in tasks:
            pipeline.hset(Job.key_for(f"{task.id}-0"), mapping=fields)
            pipeline.rpush(rig.rq.key, f"{task.id}-0")
        pipeline.execute()


def test_a_task_whose_jobs_failed_can_be_sent_again(rig: RedisRig) -> None:
    for _ in range(2):
        rig.queue.send(ID, continued=True)
        while batch := rig.queue.receive(1, wait=0):
            expire(rig, batch[0], ago=1000)
    assert len(rig.rq.failed_job_registry.get_job_ids()) >= 1
    rig.queue.send(ID, continued=True)
    assert [decode(delivery.body) for delivery in rig.queue.receive(1, wait=0)] == [ID]


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
