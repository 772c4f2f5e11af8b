"""Many submissions of one file cost its origin one reading, whatever happens to the task that reads it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest

from selfhost import slots
from selfhost.slots import Worker
from tests.support.aws.moto_process import moto_process
from tests.support.aws.template import create_queue, create_table
from tests.support.origin.counting_origin import CountingOrigin, Resource, counting_origin
from tests.support.stores.memory import secret
from tests.support.stores.tables import sqlite_uri
from urlsum import service
from urlsum.service import Submission
from urlsum.settings import parse
from urlsum.task import Status, Task
from urlsum.worker import reuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from urlsum.wiring import Services

pytestmark = pytest.mark.slow

SIZE = 4 * 2**20
MANY = 30
# What a submission costs that does not read the file: the samples.
SAMPLES = 65_536 + 16_384 + 65_536
# What of a first response is on its way before it is closed, at most: it comes while a slow table is asked.
CLOSED = 2**20
SECONDS = 60.0


def content(seed: int = 1, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class Deployment:
    """Workers with several threads on one table and one queue, and an origin that counts."""

    origin: CountingOrigin
    workers: list[Worker]
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def services(self) -> Services:
        return self.workers[0].services

    def submit(self, path: str, *, fresh: bool = False) -> str:
        services = self.services
        return service.submit(
            Submission(url=self.origin.url(path), fresh=fresh),
            table=services.table,
            queue=services.queue,
            guard=services.guard,
            now=services.clock(),
            ttl_days=30,
            secret=secret,
        )

    def start(self) -> None:
        for worker in self.workers:
            thread = threading.Thread(target=worker.run)
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()
        for thread in self.threads:
            thread.join()
        for worker in self.workers:
            for slot in worker.slots:
                slot.join()

    def task(self, task_id: str) -> Task:
        return self.services.table.get(task_id)

    def ended(self, ids: list[str]) -> list[Task]:
        """The tasks, once all of them have ended."""
        until(lambda: all(self.task(task_id).complete for task_id in ids))
        return [self.task(task_id) for task_id in ids]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_done(tasks: list[Task], data: bytes) -> None:
    md5 = hashlib.md5(data).hexdigest()
    assert {(task.status, task.md5, task.size, task.error) for task in tasks} == {(Status.DONE, md5, len(data), None)}


@contextmanager
def deployed(kind: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.setattr(slots, "PAUSE_SECONDS", 0.05)
    with ExitStack() as stack:
        settings = {"allowed_networks": "127.0.0.0/8", "retry_base_seconds": 0.2, "sweep_seconds": 1.0}
        if kind == "sqlite":
            settings["database_uri"] = sqlite_uri(directory)
        else:
            monkeypatch.setenv("AWS_ENDPOINT_URL", stack.enter_context(moto_process()))
            dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
            settings |= {"tasks_table": create_table(dynamodb), "tasks_queue_url": create_queue(sqs)}
            dynamodb.close()
            sqs.close()
        origin = stack.enter_context(counting_origin())
        deployment = Deployment(origin, [Worker(parse(settings)) for _ in range(2)])
        stack.callback(deployment.stop)
        yield deployment


@pytest.fixture(params=["sqlite", "aws"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with deployed(request.param, tmp_path, monkeypatch) as running:
        yield running


# The AWS simulation takes 10 to 20 s of a core for each of these; the other tests show the same adapters in each run.
FULLY_LONG = pytest.mark.parametrize(
    "deployment", ["sqlite", pytest.param("aws", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture
def single(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with deployed("sqlite", tmp_path, monkeypatch) as running:
        yield running


def held_at(position: int) -> tuple[Callable[[int], None], threading.Event]:
    """A ``Resource.before`` that stops every response at ``position`` until the event is set."""
    gate = threading.Event()

    def before(at: int) -> None:
        if at >= position:
            gate.wait(SECONDS)

    return before, gate


def assert_shared(deployment: Deployment, tasks: list[Task], path: str, *, readings: int = 1) -> None:
    """Check that all results but one are those of another task, and what ``readings`` of the file cost the origin."""
    assert sum(task.reused_at is None for task in tasks) == 1
    sent, requests = deployment.origin.sent[path], len(deployment.origin.requests)
    print(f"\n{len(tasks)} x {SIZE} bytes: {sent} bytes sent in {requests} responses")  # noqa: T201 - figures
    assert sent <= readings * SIZE + len(tasks) * SAMPLES + deployment.origin.whole(path) * CLOSED
    assert {task.attempts for task in tasks} == {0}


@pytest.mark.parametrize(
    ("deployment", "many"),
    [("sqlite", MANY), ("aws", 10), pytest.param("aws", MANY, marks=pytest.mark.long)],
    indirect=["deployment"],
)
def test_many_submissions_at_once_cost_one_reading(deployment: Deployment, many: int) -> None:
    file = Resource(content(), rate=4 * 2**20)
    deployment.origin.files["/f.bin"] = file
    ids = [deployment.submit(f"/f.bin#{n}" if n % 2 else "/f.bin") for n in range(many)]
    deployment.start()
    tasks = deployment.ended(ids)
    assert_done(tasks, file.content)
    assert_shared(deployment, tasks, "/f.bin")


@FULLY_LONG
def test_thirty_later_submissions_cost_no_reading(deployment: Deployment) -> None:
    file = deployment.origin.files["/f.bin"] = Resource(content())
    deployment.start()
    first = deployment.ended([deployment.submit("/f.bin")])[0]
    tasks = deployment.ended([deployment.submit(f"/f.bin#{n}") for n in range(MANY)])
    assert_done([first, *tasks], file.content)
    assert all(task.reused_at == pytest.approx(first.finished_at, abs=2.0) for task in tasks)
    assert_shared(deployment, [first, *tasks], "/f.bin")
    # Each process asked for it once.
    assert deployment.origin.whole("/f.bin") == 1
    assert deployment.origin.sent["/f.bin"] <= SIZE + (MANY + 1) * SAMPLES


@FULLY_LONG
def test_submissions_during_the_reading_wait_for_it(deployment: Deployment) -> None:
    before, gate = held_at(SIZE // 2)
    file = deployment.origin.files["/f.bin"] = Resource(content(), before=before)
    deployment.start()
    first = deployment.submit("/f.bin")
    until(lambda: deployment.origin.sent["/f.bin"] >= SIZE // 2)
    others = [deployment.submit("/f.bin") for _ in range(MANY - 1)]
    until(lambda: all(deployment.task(task_id).file_key for task_id in others))
    assert not any(deployment.task(task_id).complete for task_id in (first, *others))
    gate.set()
    tasks = deployment.ended([first, *others])
    assert_done(tasks, file.content)
    assert tasks[0].reused_at is None
    assert_shared(deployment, tasks, "/f.bin")


def test_if_the_reader_fails_one_of_the_others_takes_over(single: Deployment) -> None:
    before, gate = held_at(SIZE // 2)
    file = single.origin.files["/f.bin"] = Resource(content(), before=before)
    single.start()
    first = single.submit("/f.bin")
    until(lambda: single.origin.sent["/f.bin"] >= SIZE // 2)
    others = [single.submit("/f.bin") for _ in range(MANY - 1)]
    until(lambda: all(single.task(task_id).file_key for task_id in others))
    file.before, file.refusals = refuse, [404]
    gate.set()
    until(lambda: single.task(first).complete)
    assert single.task(first).status is Status.FAILED
    file.before = lambda at: None
    tasks = single.ended(others)
    assert_done(tasks, file.content)
    assert_shared(single, tasks, "/f.bin", readings=2)


def refuse(at: int) -> None:
    raise ConnectionError(f"cut at {at}")


@FULLY_LONG
def test_if_the_reader_is_cancelled_one_of_the_others_takes_over(deployment: Deployment) -> None:
    before, gate = held_at(SIZE // 2)
    file = deployment.origin.files["/f.bin"] = Resource(content(), before=before)
    deployment.start()
    first = deployment.submit("/f.bin")
    until(lambda: deployment.origin.sent["/f.bin"] >= SIZE // 2)
    others = [deployment.submit("/f.bin") for _ in range(MANY - 1)]
    until(lambda: all(deployment.task(task_id).file_key for task_id in others))
    service.cancel(first, table=deployment.services.table, now=deployment.services.clock())
    gate.set()
    tasks = deployment.ended(others)
    assert_done(tasks, file.content)
    # The cancelled reader notices at its next checkpoint; it may prove the digest before that.
    assert sum(task.reused_at is None for task in tasks) <= 1
    assert deployment.origin.sent["/f.bin"] <= 2 * SIZE + MANY * SAMPLES + deployment.origin.whole("/f.bin") * CLOSED


def test_a_fresh_task_reads_the_file_itself_and_replaces_the_result(single: Deployment) -> None:
    file = single.origin.files["/f.bin"] = Resource(content())
    single.start()
    first = single.ended([single.submit("/f.bin")])[0]
    fresh = single.ended([single.submit("/f.bin", fresh=True)])[0]
    assert single.origin.whole("/f.bin") == 2
    later = single.ended([single.submit("/f.bin")])[0]
    assert_done([first, fresh, later], file.content)
    assert (first.reused_at, fresh.reused_at) == (None, None)
    assert later.reused_at == pytest.approx(fresh.finished_at, abs=2.0)
    assert later.reused_at > (first.finished_at or 0)  # type: ignore[operator] # the line before
    assert single.origin.sent["/f.bin"] >= 2 * SIZE


def test_a_fresh_task_does_not_wait_for_a_reader(single: Deployment) -> None:
    before, gate = held_at(SIZE // 2)
    file = single.origin.files["/f.bin"] = Resource(content(), before=before)
    single.start()
    first = single.submit("/f.bin")
    until(lambda: single.origin.sent["/f.bin"] >= SIZE // 2)
    file.before = lambda at: None
    fresh = single.ended([single.submit("/f.bin", fresh=True)])[0]
    assert not single.task(first).complete
    gate.set()
    assert_done([fresh, *single.ended([first])], file.content)


def test_another_query_is_another_file(single: Deployment) -> None:
    files = [Resource(content(n)) for n in range(3)]
    single.origin.files |= {f"/f.bin?{n}": file for n, file in enumerate(files)}
    single.start()
    ids = [single.submit(f"/f.bin?{n}") for n in range(3)]
    for task, file in zip(single.ended(ids), files, strict=True):
        assert_done([task], file.content)
        assert task.reused_at is None


def test_small_files_leave_no_record(single: Deployment) -> None:
    file = single.origin.files["/f.bin"] = Resource(content(size=reuse.SMALL_BYTES))
    single.start()
    tasks = single.ended([single.submit("/f.bin") for _ in range(3)])
    assert_done(tasks, file.content)
    assert {(task.reused_at, task.file_key) for task in tasks} == {(None, None)}
