"""One invocation with several messages."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any

from functions.hash_worker.app import BATCHED_SECONDS, process
from tests.integration.origin.conftest import UNHURRIED, Serve
from tests.integration.origin.conftest import serve as _serve
from tests.support.aws.fake_lambda import Context, record
from tests.support.origin.origin_server import KEEP, Request, Steps, head
from tests.support.origin.scaled import SCALE, ScaledMD5, ScaledSource
from tests.support.origin.synthetic import Clock
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.queues import encode
from urlsum.settings import parse
from urlsum.task import Status, Task
from urlsum.wiring import Services
from urlsum.worker import slice as slice_module

if TYPE_CHECKING:
    import pytest

    from urlsum.deadline import Deadline

serve = _serve
SETTINGS = parse({"allowed_networks": "127.0.0.0/8"})


def wired(source: Any, clock: Any = time.time, monotonic: Any = time.monotonic) -> Services:
    return Services(
        SETTINGS, MemoryTaskTable(), MemoryQueue(), MemoryMailer(), Guard(SETTINGS), source, clock, monotonic
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

    def script(request: Request) -> Steps:
        everybody.wait()  # broken, and so no answer, unless ten requests are open at once
        return [head("200 OK", f"Content-Length: {len(request.path)}"), request.path.encode()]

    origin = serve(script)
    services = wired(HttpSource(SETTINGS, Guard(SETTINGS), tuning=UNHURRIED))
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


def test_of_large_files_in_company_only_the_first_keeps_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_module, "MD5", ScaledMD5)

    class Company:
        """Every file has a clock of its own, as if each had a core of its own."""

        def __init__(self) -> None:
            self.seconds: dict[str, float] = {}

        def open(self, url: str, *, deadline: Deadline, resume: Any = None, heartbeat: Any = None) -> Any:
            clock = Clock(0.0)
            source = ScaledSource(10**6 * SCALE, clock, rate=100 * SCALE, piece=100)
            self.seconds[url] = deadline.at
            return source.open(url, deadline=deadline, resume=resume)

    company = Company()
    services = wired(company, clock=lambda: 1_000_000.0, monotonic=lambda: 0.0)
    tasks = [submitted(services, f"https://o.example/{number}") for number in range(4)]
    assert invoke(services, *(encode(task.id) for task in tasks)) == []
    first, *others = [services.table.get(task.id) for task in tasks]
    assert company.seconds[first.url] == SETTINGS.slice_seconds
    assert {company.seconds[task.url] for task in others} == {BATCHED_SECONDS}
    assert all(task.offset > 0 and task.status is Status.RUNNING for task in (first, *others))
    assert sorted(task_id for task_id, _ in services.queue.sent) == sorted(task.id for task in tasks)  # type: ignore[attr-defined]


def test_a_silent_origin_is_found_out_before_a_file_in_company_is_put_down() -> None:
    assert SETTINGS.connect_timeout + SETTINGS.read_timeout < BATCHED_SECONDS
