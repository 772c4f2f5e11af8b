"""What /check says of a task that waits: for a worker, for another task's reading, or for its next attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import MD5, NOW, SIZE, changed, stored
from tests.integration.web.test_check import checked
from tests.support.stores.memory import MemoryRecords, MemoryTaskTable
from tests.support.web.page import opened
from urlsum.errors import FailureCode
from urlsum.settings import Settings
from urlsum.task import Checkpoint, Failure
from urlsum.worker import reuse

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client
    from urlsum.task import Task


def reading(backend: Backend, percent: int = 25) -> tuple[Task, Task]:
    """A task that reads a file, and one that waits for it."""
    backend.table, backend.records = MemoryTaskTable(), MemoryRecords()
    tasks = [stored(backend) for _ in range(2)]
    reader, waiting = (
        changed(backend, task, replace(task.claimed(NOW, 90), file_key=f"key-{percent}")) for task in tasks
    )
    services = backend.services()
    for task in (reader, waiting):
        found = reuse.announced(task, services)
    assert isinstance(found, reuse.Wait)
    waiting = changed(backend, waiting, waiting.waiting(NOW, delay=found.seconds))
    point = Checkpoint(offset=SIZE * percent // 100, md5_state=b"\0" * 29, validator="")
    after = reader.checkpointed(point, size=SIZE, rate=104857600.4, now=NOW, lease_seconds=90)
    return changed(backend, reader, after), waiting


def test_a_task_that_waits_for_the_reading_of_another_shows_its_progress(client: Client, backend: Backend) -> None:
    reader, waiting = reading(backend)
    backend.clock.now = NOW + 100
    changed(backend, reader, replace(reader, lease_until=NOW + 190))
    answer = client.request("GET", f"/check?id={waiting.id}")
    body = answer.json()
    assert (body["activity"], body["progress"]["bytes"]) == ("waiting", 0)
    assert body["reader"] == checked(client, reader, 202)["progress"]
    assert (body["reader"]["percent"], body["reader"]["eta_seconds"]) == (25.0, 6)
    assert answer.headers["retry-after"] == "6"  # when the reader is done, not a tenth of the task's age
    # Nothing else of the other task.
    assert reader.id not in answer.body.decode()


@pytest.mark.parametrize("end", ["done", "cancelled", "purged"])
def test_a_reader_that_has_ended_is_shown_no_more(client: Client, backend: Backend, end: str) -> None:
    reader, waiting = reading(backend)
    if end == "purged":
        backend.table.remove(reader)
    else:
        changed(backend, reader, reader.done(MD5, SIZE, NOW) if end == "done" else reader.cancelled(NOW))
    assert "reader" not in checked(client, waiting, 202)


def test_a_task_that_waits_for_a_worker_says_how_many_wait_longer(client: Client, backend: Backend) -> None:
    backend.table = MemoryTaskTable()
    first, second = (stored(backend, due_at=NOW - 2 + number) for number in range(2))
    assert [checked(client, task, 202)["ahead"] for task in (first, second)] == [0, 1]
    changed(backend, first, first.claimed(NOW, 90))
    assert "ahead" not in checked(client, first, 202)
    assert checked(client, second, 202)["ahead"] == 0


def test_on_dynamodb_nobody_counts_who_waits(client: Client, backend: Backend) -> None:
    task = stored(backend)
    backend.settings = Settings(tasks_table="tasks")
    assert "ahead" not in checked(client, task, 202)


@pytest.mark.parametrize(
    ("code", "attempts", "expected"),
    [
        (FailureCode.HTTP, 1, (2, 5)),
        (FailureCode.TLS, 1, (2, 2)),
        (FailureCode.HTTP, 0, (1, 5)),  # after progress, or while the server prepares the file
        (FailureCode.TLS, 7, (2, 2)),  # workers died as well
        # What was found behind a name shows in no number.
        (FailureCode.BLOCKED, 1, (2, 5)),
        (FailureCode.DNS, 1, (2, 5)),
        (FailureCode.CONNECT, 1, (2, 5)),
    ],
)
def test_a_retry_counts_its_attempts(
    client: Client, backend: Backend, code: FailureCode, attempts: int, expected: tuple[int, int]
) -> None:
    task = stored(backend)
    claimed = changed(backend, task, replace(task.claimed(NOW, 90), attempts=attempts))
    changed(backend, claimed, claimed.retried(Failure(code, "no luck"), NOW, delay=9))
    retry = checked(client, task, 202)["retry"]
    assert (retry["attempt"], retry["most_attempts"]) == expected


def test_the_page_shows_the_figures_of_the_reader_and_says_whose_they_are(client: Client, backend: Backend) -> None:
    _, waiting = reading(backend)
    page = opened(client, f"/check?id={waiting.id}", 202)
    assert "hidden" not in page.by_id("reader")
    [bar] = page.all("progress")
    assert bar["value"] == "25.0"
    for shown in ("Waiting", "25.0 %", "175.0 MiB of 700.0 MiB", "100.0 MiB/s"):
        assert shown in page.text
    backend.table = MemoryTaskTable()
    alone = opened(client, f"/check?id={stored(backend).id}", 202)
    assert "hidden" in alone.by_id("reader")
    assert "next in line" in alone.text
