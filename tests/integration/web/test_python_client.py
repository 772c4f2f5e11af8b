"""``urlsum.Client`` against the real application, and against services that misbehave."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import MD5, NOW, SIZE, changed, described, failed, stored
from tests.support.web.clients import served
from urlsum import Client
from urlsum.client import ClientError, NoDigest, Unfinished
from urlsum.errors import FailureCode
from urlsum.task import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from tests.integration.web.conftest import Backend

URL = "http://site.com/file.txt"
Answered = tuple[int, bytes, dict[str, str]]


@contextmanager
def calling(backend: Backend) -> Iterator[Client]:
    with served(backend.app()) as server, Client(f"http://127.0.0.1:{server.port}/") as client:
        yield client


class Scripted:
    """A service that answers with these statuses, bodies and headers, one for each request, and the last one again."""

    def __init__(self, *answers: Answered) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.keys.append(dict(scope["headers"]).get(b"idempotency-key", b"").decode())
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})


def finish(backend: Backend, task_id: str) -> None:
    task = backend.table.get(task_id)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7))


def test_the_digest_of_a_file(backend: Backend) -> None:
    with calling(backend) as client:

        def work() -> None:
            while not backend.queue.sent:
                time.sleep(0.01)
            finish(backend, backend.queue.sent[0][0])

        worker = threading.Thread(target=work)
        worker.start()
        assert client.md5(URL) == MD5
        worker.join()


def test_a_done_task_has_the_metadata_of_the_file(backend: Backend) -> None:
    task = described(
        backend,
        name="größe.bam",
        final_url="https://cdn.site.com/file.bam",
        content_type="application/gzip",
        etag='"v1"',
        last_modified=NOW - 0.5,
    )
    with calling(backend) as client:
        done = client.check(task.id)
    assert (done.name, done.final_url) == ("größe.bam", "https://cdn.site.com/file.bam")
    assert (done.content_type, done.etag, done.last_modified) == ("application/gzip", '"v1"', "2026-11-05T09:59:59Z")
    assert done.seconds == 7


def test_the_file_is_read_in_any_case_if_that_is_asked_for(backend: Backend) -> None:
    with calling(backend) as client:
        assert backend.table.get(client.submit(URL, fresh=True)).fresh
        assert not backend.table.get(client.submit(URL, fresh=False)).fresh


def test_without_waiting_the_task_is_known_for_later(backend: Backend) -> None:
    with calling(backend) as client:
        with pytest.raises(Unfinished) as unfinished:
            client.md5(URL, wait=False)
        task_id = unfinished.value.task_id
        assert client.wait(task_id, timeout=0).status == "queued"
        finish(backend, task_id)
        task = client.wait(task_id)
    assert (task.complete, task.md5, task.size, task.name) == (True, MD5, SIZE, "file.txt")


def test_why_there_is_no_digest(backend: Backend) -> None:
    unlucky = failed(backend, Failure(FailureCode.HTTP, "the server answered with status 404"))
    with calling(backend) as client:
        assert client.check(unlucky.id).error is not None
        task = client.cancel(stored(backend).id)
        assert (task.status, task.complete) == ("cancelled", True)
        with pytest.raises(ClientError, match="There is no task") as unknown:
            client.check("0e4fac17-f367-4807-8c28-8a059a2f82ac")
        with pytest.raises(ClientError) as refused:
            client.md5("file:///etc/passwd")
    assert (unknown.value.code, refused.value.code) == ("task-not-found", "invalid-request")


def test_a_failed_task_has_no_digest(backend: Backend) -> None:
    with calling(backend) as client:
        task_id = client.submit(URL, md5=MD5)
        task = backend.table.get(task_id)
        claimed = changed(backend, task, task.claimed(NOW, 90))
        changed(backend, claimed, claimed.failed(Failure(FailureCode.HTTP, "status 404"), NOW + 7))
        client.submit = lambda *_, **__: task_id  # type: ignore[method-assign]
        with pytest.raises(NoDigest) as error:
            client.md5(URL)
    assert error.value.code == "http"


def test_a_busy_service_is_asked_again_with_the_same_key() -> None:
    busy = (503, b"{}", {"Retry-After": "3"})
    accepted: Answered = (202, b'{"id": "0e4fac17-f367-4807-8c28-8a059a2f82ac"}', {})
    service, slept = Scripted(busy, busy, accepted), list[float]()
    with served(service) as server, Client(f"http://127.0.0.1:{server.port}", sleep=slept.append) as client:
        assert client.submit(URL) == "0e4fac17-f367-4807-8c28-8a059a2f82ac"
    assert slept == [3, 3]
    assert len(service.keys) == 3
    assert len(set(service.keys)) == 1
    assert service.keys[0]


def test_a_daily_limit_is_the_callers_to_wait_for() -> None:
    body = b'{"type": "urn:urlsum:problem:limit-reached", "detail": "Tomorrow."}'
    service, slept = Scripted((429, body, {"Retry-After": "80000"})), list[float]()
    with (
        served(service) as server,
        Client(f"http://127.0.0.1:{server.port}", sleep=slept.append) as client,
        pytest.raises(ClientError, match="Tomorrow") as limit,
    ):
        client.submit(URL)
    assert (limit.value.code, slept) == ("limit-reached", [])


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"id": "1", "status": "done", "complete": true, "url": "x", "md5": "\x1b[2J"}',
        b"[" * 100_000,
    ],
)
def test_a_digest_is_32_hexadecimal_digits_or_none(body: bytes) -> None:
    with (
        served(Scripted((200, body, {}))) as server,
        Client(f"http://127.0.0.1:{server.port}") as client,
        pytest.raises(ClientError, match="is not a urlsum service"),
    ):
        client.check("1")


def test_a_service_that_cannot_be_reached() -> None:
    slept: list[float] = []
    with (
        Client("http://127.0.0.1:9", sleep=slept.append) as client,
        pytest.raises(ClientError, match="cannot be asked"),
    ):
        client.submit(URL)
    assert slept == [1, 2, 4, 8]


def test_a_service_that_does_not_wait_is_asked_as_it_says() -> None:
    waiting = b'{"id": "1", "status": "queued", "complete": false, "url": "x"}'
    done = b'{"id": "1", "status": "cancelled", "complete": true, "url": "x"}'
    service, slept = Scripted((202, waiting, {"Retry-After": "2"}), (202, waiting, {}), (410, done, {})), list[float]()
    with served(service) as server, Client(f"http://127.0.0.1:{server.port}", sleep=slept.append) as client:
        assert client.wait("1").status == "cancelled"
    assert slept == [2, 5]


def test_a_timeout_below_a_second_asks_twice(backend: Backend) -> None:
    task = stored(backend)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    with served(backend.app()) as server, Client(f"http://127.0.0.1:{server.port}", sleep=sleep) as client:
        assert client.wait(task.id, timeout=0.5).status == "queued"
    assert 1 <= len(slept) <= 2
