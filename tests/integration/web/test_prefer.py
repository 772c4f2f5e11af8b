"""``Prefer: wait=N`` on GET /check: one request instead of a loop."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from tests.integration.web.conftest import MD5, NOW, SIZE, changed, stored
from tests.support.web.clients import GatewayClient, served
from urlsum.web import prefer

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client


def preferring(*values: str) -> Request:
    return Request({"type": "http", "headers": [(b"prefer", value.encode()) for value in values]})


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["wait=7"], 7),
        (["WAIT = 7"], 7),
        (['wait="7"'], 7),
        (["respond-async, wait=7; foo=bar"], 7),
        (["respond-async", "wait=7"], 7),
        (["wait=3, wait=7"], 3),
        (["wait=0"], 0),
        (["wait=999"], prefer.MOST_SECONDS),
        (["wait=9999"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["await=7"], None),
        (["return=minimal"], None),
        ([], None),
    ],
)
def test_the_first_wait_counts(values: list[str], seconds: int | None) -> None:
    assert prefer.wait_seconds(preferring(*values)) == seconds


def test_the_response_comes_once_the_task_has_ended(backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    with served(backend.app()) as server:
        end = threading.Timer(0.3, changed, (backend, claimed, claimed.done(MD5, SIZE, NOW + 7)))
        end.start()
        begun = time.monotonic()
        answer = server.request("GET", f"/check?id={task.id}", headers={"Prefer": "wait=9"})
        end.join()
    assert (answer.status, answer.json()["md5"]) == (200, MD5)
    assert answer.headers["preference-applied"] == "wait=9"
    assert 0.3 <= time.monotonic() - begun < 8


def test_an_unfinished_task_is_shown_after_the_wait(backend: Backend) -> None:
    task = stored(backend)
    with served(backend.app()) as server:
        begun = time.monotonic()
        answer = server.request("GET", f"/check?id={task.id}", headers={"Prefer": "wait=1"})
    assert (answer.status, answer.headers["preference-applied"]) == (202, "wait=1")
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(("target", "status"), [("/check?id=unknown", 404), ("/check?id={}&format=sha1", 422)])
def test_what_is_wrong_is_said_at_once(client: Client, backend: Backend, target: str, status: int) -> None:
    begun = time.monotonic()
    answer = client.request("GET", target.format(stored(backend).id), headers={"Prefer": "wait=25"})
    assert answer.status == status
    assert time.monotonic() - begun < 20


def test_a_busy_service_responds_at_once(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer, "MOST_WAITING", 0)
    task = stored(backend)
    begun = time.monotonic()
    with served(backend.app()) as server:
        answer = server.request("GET", f"/check?id={task.id}", headers={"Prefer": "wait=25"})
    assert answer.status == 202
    assert "preference-applied" not in answer.headers
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - begun < 20


def test_lambda_is_not_paid_to_wait(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(backend.settings), "on_lambda", True)
    task = stored(backend)
    begun = time.monotonic()
    gateway = GatewayClient(backend.app())
    answer = gateway.request("GET", f"/check?id={task.id}", headers={"Prefer": "wait=25"})
    gateway.close()
    assert answer.status == 202
    # RFC 7240, 3: a preference that was not applied is not named, and the client asks again in a moment.
    assert "preference-applied" not in answer.headers
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - begun < 20


def test_clients_that_wait_do_not_block_others(backend: Backend) -> None:
    task = stored(backend)
    with served(backend.app()) as server:
        target, headers = f"/check?id={task.id}", {"Prefer": "wait=25"}
        waiting = [
            threading.Thread(target=server.request, args=("GET", target, None, headers), daemon=True) for _ in range(60)
        ]
        for thread in waiting:
            thread.start()
        assert server.request("GET", target).status == 202
        claimed = changed(backend, task, task.claimed(NOW, 90))
        changed(backend, claimed, claimed.cancelled(NOW + 1))
        for thread in waiting:
            thread.join(20)
            assert not thread.is_alive()
