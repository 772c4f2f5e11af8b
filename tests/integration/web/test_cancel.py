"""DELETE and POST /check: what they end, what they leave alone, and what is answered afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import MD5, NOW, URL, changed, stored
from tests.integration.web.test_check import expired
from tests.support.stores.memory import MemoryTaskTable
from tests.support.web.page import BROWSER, opened
from tests.support.web.refusals import refused
from urlsum.errors import FailureCode, LeaseLost
from urlsum.task import Checkpoint, Failure, Mail, Status, Task

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client


def cancelled(task: Task) -> dict[str, object]:
    return {
        "id": task.id,
        "status": "cancelled",
        "complete": True,
        "url": URL,
        "created_at": "2026-11-05T10:00:00Z",
        "finished_at": "2026-11-05T10:00:00Z",
    }


def test_a_queued_task_ends_and_is_gone(client: Client, backend: Backend) -> None:
    task = stored(backend)
    answer = client.request("DELETE", f"/check?id={task.id}")
    assert (answer.status, answer.json()) == (200, cancelled(task))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    gone = client.request("GET", f"/check?id={task.id}")
    assert (gone.status, gone.body) == (410, answer.body)
    assert "retry-after" not in gone.headers


def test_a_running_task_ends_and_its_worker_is_refused(client: Client, backend: Backend) -> None:
    task = stored(backend)
    running = changed(backend, task, task.claimed(NOW, 90))
    assert client.request("DELETE", f"/check?id={task.id}").status == 200
    with pytest.raises(LeaseLost):
        backend.table.save(running.done(MD5, 7, NOW), over=running)
    kept = backend.table.get(task.id)
    assert (kept.status, kept.mail, kept.md5, kept.due_at) == (Status.CANCELLED, Mail.NONE, None, None)


def test_once_more_answers_the_same(client: Client, backend: Backend) -> None:
    task = stored(backend)
    first = client.request("DELETE", f"/check?id={task.id}")
    backend.clock.now += 100
    again = client.request("DELETE", f"/check?id={task.id.upper()}")
    assert (again.status, again.body) == (first.status, first.body)


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_finished_task_keeps_its_end(client: Client, backend: Backend, end: str) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    failure = Failure(FailureCode.HTTP, "404")
    finished = claimed.done(MD5, 7, NOW) if end == "done" else claimed.failed(failure, NOW)
    changed(backend, claimed, finished)
    refused(client.request("DELETE", f"/check?id={task.id}"), 409, "task-finished", "id")
    assert backend.table.get(task.id) == finished


def test_an_unknown_id_is_unknown_here_too(client: Client, backend: Backend) -> None:
    for query in ("?id=1", "?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"):
        answer = client.request("DELETE", "/check" + query)
        refused(answer, 404, "task-not-found", "id")
    assert answer.body == expired(client, backend).body


def test_a_worker_that_comes_between_is_overtaken(client: Client, backend: Backend) -> None:
    backend.table = table = MemoryTaskTable()
    task = stored(backend)
    get = table.get

    def claimed_meanwhile(task_id: str, *, consistent: bool = True) -> Task:
        table.get = get  # type: ignore[method-assign]
        task = get(task_id)
        changed(backend, task, task.claimed(NOW, 90))
        return task

    table.get = claimed_meanwhile  # type: ignore[method-assign]
    assert client.request("DELETE", f"/check?id={task.id}").status == 200
    assert table.get(task.id).status is Status.CANCELLED


def test_a_worker_that_finishes_in_between_has_won(client: Client, backend: Backend) -> None:
    backend.table = table = MemoryTaskTable()
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    get = table.get

    def finished_meanwhile(task_id: str, *, consistent: bool = True) -> Task:
        table.get = get  # type: ignore[method-assign]
        changed(backend, claimed, claimed.done(MD5, 7, NOW))
        return claimed

    table.get = finished_meanwhile  # type: ignore[method-assign]
    refused(client.request("DELETE", f"/check?id={task.id}"), 409, "task-finished", "id")


def test_without_a_table_nothing_is_cancelled(client: Client, backend: Backend) -> None:
    backend.table = table = MemoryTaskTable()
    task = stored(backend)
    table.down = True
    refused(client.request("DELETE", f"/check?id={task.id}"), 503, "unavailable")
    assert table.tasks[task.id] == task


def test_a_form_cancels_and_leads_a_browser_to_the_page_of_the_task(client: Client, backend: Backend) -> None:
    task = stored(backend)
    asks = opened(client, f"/check?id={task.id}", 202).all("a")[-1]["href"]
    assert asks == f"?id={task.id}&cancel=ask"
    page = opened(client, f"/check{asks}", 202)
    assert "Cancel this task?" in page.text
    assert page.all("a")[-1]["href"] == f"?id={task.id}"
    assert not any("http-equiv" in meta for meta in page.all("meta"))
    assert backend.table.get(task.id).status is Status.QUEUED  # the question changes nothing
    [form] = page.all("form")
    assert (form["method"], form["action"]) == ("post", f"?id={task.id}&cancel=yes")
    answer = client.request("POST", f"/check{form['action']}", b"", {**BROWSER, "Sec-Fetch-Site": "same-origin"})
    assert (answer.status, answer.headers["location"]) == (303, f"/check?id={task.id}")
    assert "This task was cancelled" in opened(client, answer.headers["location"], 410).text


def test_the_question_says_what_would_be_lost(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=64 * 2**20, md5_state=b"\0" * 29, validator="")
    changed(backend, claimed, claimed.checkpointed(point, size=None, rate=None, now=NOW, lease_seconds=90))
    assert "64.0 MiB hashed so far are lost" in opened(client, f"/check?id={task.id}&cancel=ask", 202).text


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_a_task_that_has_ended_meanwhile_keeps_its_end(
    client: Client, backend: Backend, headers: dict[str, str]
) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    finished = changed(backend, claimed, claimed.done(MD5, 7, NOW))
    answer = client.request("POST", f"/check?id={task.id}&cancel=yes", b"", headers)
    if headers:
        assert (answer.status, answer.headers["location"]) == (303, f"/check?id={task.id}")
    else:
        refused(answer, 409, "task-finished", "id")
    assert backend.table.get(task.id) == finished
    assert MD5 in opened(client, f"/check?id={task.id}&cancel=ask").text


def test_a_program_gets_from_post_what_delete_answers(client: Client, backend: Backend) -> None:
    task = stored(backend)
    answer = client.request("POST", f"/check?id={task.id}&cancel=yes", b"")
    assert (answer.status, answer.json()) == (200, cancelled(task))


@pytest.mark.parametrize("query", ["", "&cancel=no", "&cancel=ask", "&cancel=yes&cancel=yes"])
def test_a_post_to_the_wrong_path_cancels_nothing(client: Client, backend: Backend, query: str) -> None:
    task = stored(backend)
    answer = client.request("POST", f"/check?id={task.id}{query}", f"url={URL}".encode())
    refused(answer, 422, "invalid-request", "cancel")
    assert backend.table.get(task.id) == task


def test_a_form_on_another_site_cancels_nothing(client: Client, backend: Backend) -> None:
    task = stored(backend)
    headers = {**BROWSER, "Sec-Fetch-Site": "cross-site"}
    answer = client.request("POST", f"/check?id={task.id}&cancel=yes", b"", headers)
    assert answer.status == 403
    assert backend.table.get(task.id) == task
