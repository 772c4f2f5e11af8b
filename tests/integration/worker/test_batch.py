"""One invocation with several messages."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from functions.hash_worker import app
from functions.hash_worker.app import BATCHED_SECONDS, _Batch, process
from tests.integration.origin.conftest import UNHURRIED, Serve
from tests.integration.origin.conftest import serve as _serve
from tests.support.aws.fake_lambda import Context, record
from tests.support.origin.origin_server import KEEP, Request, Steps, head
from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable, secret
from tests.support.stores.tables import new_task
from urlsum.deadline import Deadline
from urlsum.limits.account import Account
from urlsum.origin.guard.guard import Guard
from urlsum.origin.http11.leases import PlaceLeases
from urlsum.origin.source import HttpSource
from urlsum.queues import encode
from urlsum.settings import parse
from urlsum.task import Status, Task
from urlsum.wiring import Services
from urlsum.worker.turns import LONG_QUEUE_SHARE

if TYPE_CHECKING:
    from urlsum.settings import Settings
    from urlsum.tables import Record

serve = _serve
SETTINGS = parse({"allowed_networks": "127.0.0.0/8"})


def wired(source: Any, clock: Any = time.time, monotonic: Any = time.monotonic) -> Services:
    return Services(
        SETTINGS,
        MemoryTaskTable(),
        MemoryRecords(),
        secret,
        MemoryQueue(),
        MemoryMailer(),
        Guard(SETTINGS),
        source,
        clock,
        monotonic,
    )


def submitted(services: Services, url: str) -> Task:
    now = services.clock()
    task = new_task(url=url, created_at=now, updated_at=now, due_at=now, expires_at=2**40)
    services.table.add(task)
    return task


def invoke(services: Services, *bodies: str) -> list[str]:
    """Invoke with these messages; return the ids of those that are to come again."""
    records = [record(body, f"message-{number}") for number, body in enumerate(bodies)]
    response = process({"Records": records}, Context(), services=lambda: services)
    return sorted(failure["itemIdentifier"] for failure in response["batchItemFailures"])


def test_small_files_are_hashed_at_the_same_time(serve: Serve) -> None:
    everybody = threading.Barrier(10, timeout=10)
    settings = structs.replace(SETTINGS, connections_per_origin=10)

    def script(request: Request) -> Steps:
        everybody.wait()  # broken, and so no answer, unless ten requests are open at once
        return [head("200 OK", f"Content-Length: {len(request.path)}"), request.path.encode()]

    origin = serve(script)
    services = wired(HttpSource(settings, Guard(settings), tuning=UNHURRIED))
    tasks = [submitted(services, origin.url(f"/{number}")) for number in range(10)]
    assert invoke(services, *(encode(task.id) for task in tasks)) == []
    for number, task in enumerate(tasks):
        assert services.table.get(task.id).md5 == hashlib.md5(f"/{number}".encode()).hexdigest()
    assert len(origin.requests) == 10


def test_only_what_failed_comes_again(serve: Serve) -> None:
    origin = serve(lambda request: [head("200 OK", "Content-Length: 2"), b"ok", KEEP])
    services = wired(HttpSource(SETTINGS, Guard(SETTINGS)))
    good = [submitted(services, origin.url(f"/{number}")) for number in range(3)]
    unknown = new_task()
    bodies = [
        encode(good[0].id),
        "not JSON",
        "[]",
        encode(good[1].id),
        encode(unknown.id),
        encode(good[2].id),
    ]
    # An unknown task is dropped: it has expired, and will not come back.
    assert invoke(services, *bodies) == ["message-1", "message-2"]
    assert [services.table.get(task.id).status for task in good] == [Status.DONE] * 3


def test_all_of_a_batch_may_fail() -> None:
    assert invoke(wired(None), "1", "{}", "[]") == ["message-0", "message-1", "message-2"]


def test_of_the_files_that_are_still_read_after_a_minute_one_keeps_the_slice() -> None:
    clock = Clock(0.0)
    batch = _Batch(Deadline.after(240.0, clock=clock), 4)
    deadlines = [batch.deadline(number) for number in range(4)]
    assert [deadline.remaining() for deadline in deadlines] == [240.0] * 4
    clock.now = BATCHED_SECONDS - 1
    batch.end(0)
    assert not any(deadline.expired for deadline in deadlines)
    clock.now = BATCHED_SECONDS
    assert [deadline.remaining() for deadline in deadlines[1:]] == [240.0 - BATCHED_SECONDS, 0.0, 0.0]
    batch.end(1)
    assert [deadline.cancelled for deadline in deadlines[2:]] == [True, True]  # they have stopped already
    clock.now = 240.0
    assert deadlines[1].expired


def test_a_large_file_beside_a_small_one_has_the_whole_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    class Watched(_Batch):
        def end(self, number: int) -> None:
            super().end(number)
            ended.set()

    monkeypatch.setattr(app, "_Batch", Watched)
    clock = Clock()
    large = SyntheticSource(b"x" * 200_000, clock)
    small = SyntheticSource(b"x" * 10, clock)
    large.fault = lambda _offset: None if ended.wait(10) else pytest.fail("the small file does not end")

    class Both:
        def open(self, url: str, *, deadline: Deadline, resume: Any = None, heartbeat: Any = None) -> Any:
            return (small if url.endswith("small") else large).open(url, deadline=deadline, resume=resume)

    services = wired(Both(), clock, clock)
    tasks = [submitted(services, f"https://o.example/{name}") for name in ("small", "large")]
    assert invoke(services, *(encode(task.id) for task in tasks)) == []
    assert [services.table.get(task.id).status for task in tasks] == [Status.DONE] * 2
    assert services.queue.sent == []  # type: ignore[attr-defined] # of MemoryQueue


def test_a_silent_origin_is_found_out_before_a_file_in_company_is_put_down() -> None:
    assert SETTINGS.connect_timeout + SETTINGS.read_timeout < BATCHED_SECONDS


SEPARATE = parse({"tasks_queue_url": "https://sqs/tasks", "continuations_queue_url": "https://sqs/continuations"})


def slow(settings: Settings, **fields: Any) -> tuple[Services, Task]:
    """Services on a clock of their own, and a task that takes 100 s."""
    clock = Clock()
    services = replace(wired(SyntheticSource(b"x" * 100_000, clock), clock, clock), settings=settings)
    task = submitted(services, "https://o.example/f")
    changed = replace(task, **fields)
    services.table.save(changed, over=task)
    return services, changed


def test_a_first_slice_lasts_ten_seconds_where_continuations_have_workers_of_their_own() -> None:
    services, task = slow(SEPARATE)
    invoke(services, encode(task.id))
    assert services.table.get(task.id).offset == 10_000 // 64 * 64
    assert services.queue.continued == [task.id]  # type: ignore[attr-defined] # of MemoryQueue


def test_a_first_slice_lasts_longer_where_it_would_only_meet_itself() -> None:
    services, task = slow(SETTINGS)
    invoke(services, encode(task.id))
    assert services.table.get(task.id).status is Status.DONE


def test_a_continuation_lasts_a_whole_slice_while_nobody_waits() -> None:
    services, task = slow(SEPARATE, continued=True)
    invoke(services, encode(task.id, continued=True))
    assert services.table.get(task.id).status is Status.DONE


def test_a_continuation_hands_over_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.hash_worker.app.LOOK_SECONDS", 0.01)
    services, task = slow(SEPARATE, continued=True)
    services.queue.send("another", continued=True)

    def unhurried(offset: int) -> None:
        time.sleep(0.01)  # the looks are by the real clock

    services.source.fault = unhurried  # type: ignore[attr-defined] # of SyntheticSource
    invoke(services, encode(task.id, continued=True))
    after = services.table.get(task.id)
    assert after.status is Status.RUNNING
    assert after.offset >= BATCHED_SECONDS * LONG_QUEUE_SHARE * 1000 // 64 * 64
    assert (after.attempts, after.lease_until) == (0, 0.0)


def test_what_is_no_message_has_a_turn_too() -> None:
    services, _ = slow(SEPARATE)
    assert invoke(services, "no message", "[]", '{"id": 7, "continued": true}') == [f"message-{n}" for n in range(3)]


class Counting(MemoryRecords):
    """Records that count requests by their kind, each of which takes ``seconds``."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.writes: list[str] = []
        self.reads: list[str] = []

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        time.sleep(self.seconds)
        self.reads.append(key.partition(":")[0])
        return super().read(key, consistent=consistent)

    def write(self, key: str, *args: Any, **options: Any) -> Record:
        time.sleep(self.seconds)
        self.writes.append(key.partition(":")[0])
        return super().write(key, *args, **options)


def test_ten_files_that_end_in_one_batch_cost_the_account_of_their_client_one_write() -> None:
    clock, records = Clock(), Counting()
    services = replace(wired(SyntheticSource(b"x" * 10, clock), clock, clock), records=records)
    tasks = []
    for number in range(10):
        now = clock()
        task = new_task(
            url=f"https://o.example/{number}", created_at=now, updated_at=now, expires_at=2**40, client="198.51.100.7"
        )
        services.limiter.admit(task)
        services.table.add(task)
        tasks.append(task)
    submitted = records.writes.count("client")
    assert invoke(services, *(encode(task.id) for task in tasks)) == []
    assert records.writes.count("client") == submitted + 1
    stored = records.read("client:198.51.100.7")
    assert stored is not None
    account = Account.load(stored.value)
    assert (sum(account.unfinished.values()), account.bytes) == (0, 100)


@pytest.mark.parametrize(("files", "writes"), [(1, 2), (10, 12)])
def test_the_files_of_a_batch_take_the_places_of_their_origin_together(serve: Serve, files: int, writes: int) -> None:
    origin = serve(lambda request: [head("200 OK", "Content-Length: 2"), b"ok", KEEP])
    records, guard = Counting(seconds=0.006), Guard(SETTINGS)
    source = HttpSource(SETTINGS, guard, leases=PlaceLeases(records, SETTINGS))
    services = replace(wired(source), records=records, rest=source.rest)
    tasks = [submitted(services, origin.url(f"/{number}")) for number in range(files)]
    assert invoke(services, *(encode(task.id) for task in tasks)) == []
    # For the origin and for its address. One by one, eight places would cost 16 and their return two more.
    assert records.writes.count("origin") <= writes


def rows_written(services: Services) -> list[Status]:
    """The states that are written to the table from now on."""
    written: list[Status] = []
    save = services.table.save

    def recorded(task: Task, **options: Any) -> None:
        save(task, **options)
        written.append(task.status)

    services.table.save = recorded  # type: ignore[method-assign]
    return written


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({"ApproximateReceiveCount": "1"}, [Status.DONE]),
        # The worker that had it before may have died of it.
        ({"ApproximateReceiveCount": "2"}, [Status.RUNNING, Status.DONE]),
        ({}, [Status.RUNNING, Status.DONE]),
    ],
)
def test_a_small_file_is_written_once_if_its_message_comes_for_the_first_time(
    attributes: dict[str, str], written: list[Status]
) -> None:
    clock = Clock()
    services = wired(SyntheticSource(b"x" * 10, clock, seconds=0.1), clock, clock)
    task = submitted(services, "https://o.example/f")
    rows = rows_written(services)
    event = {"Records": [{**record(encode(task.id), "message"), "attributes": attributes}]}
    process(event, Context(), services=lambda: services)
    assert rows == written


def test_a_file_that_kills_its_worker_again_and_again_counts_each_try_but_the_first() -> None:
    class Killed(BaseException):
        pass

    def kill(offset: int) -> None:
        raise Killed

    clock = Clock()
    source = SyntheticSource(b"x" * 10, clock, seconds=0.1)
    services = wired(source, clock, clock)
    task = submitted(services, "https://o.example/f")
    source.fault = kill
    tries = []
    for count in range(1, 5):
        event = {
            "Records": [{**record(encode(task.id), "message"), "attributes": {"ApproximateReceiveCount": str(count)}}]
        }
        with pytest.raises(Killed):
            process(event, Context(), services=lambda: services)
        tries.append(services.table.get(task.id).attempts)
        clock.now += SETTINGS.lease_seconds + 1
    assert tries == [0, 1, 2, 3]


def test_a_silent_origin_is_claimed_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.hash_worker.app.LATE_SECONDS", 0.01)
    clock = Clock()
    source = SyntheticSource(b"x" * 10, clock, seconds=0.1)
    services = wired(source, clock, clock)
    task = submitted(services, "https://o.example/f")
    rows = rows_written(services)

    def silent(offset: int) -> None:
        until = time.monotonic() + 10
        while not rows and time.monotonic() < until:
            time.sleep(0.01)

    source.fault = silent
    assert invoke(services, encode(task.id)) == []
    assert rows == [Status.RUNNING, Status.DONE]
