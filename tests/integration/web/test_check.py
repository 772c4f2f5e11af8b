from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.web.conftest import MD5, NOW, SIZE, URL, changed, described, failed, stored
from tests.support.web.clients import served
from tests.support.web.page import BROWSER
from tests.support.web.refusals import refused
from urlsum.errors import FailureCode
from urlsum.task import Checkpoint, Failure, Proof
from urlsum.text.format import shown_url

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Answer, Client
    from urlsum.task import Task


def checked(client: Client, task: Task, status: int) -> dict[str, Any]:
    answer = client.request("GET", f"/check?id={task.id}")
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert b"example@abc.ru" not in answer.body
    body: dict[str, Any] = answer.json()
    return body


def test_a_queued_task_is_waiting_with_all_of_its_progress_unknown(client: Client, backend: Backend) -> None:
    task = stored(backend)
    body = checked(client, task, 202)
    del body["ahead"]  # other tests use the same table
    assert body == {
        "id": task.id,
        "status": "queued",
        "complete": False,
        "url": URL,
        "activity": "waiting",
        "progress": {
            "bytes": 0,
            "total": None,
            "percent": None,
            "bytes_per_second": None,
            "eta_seconds": None,
            "resumed_from": None,
            "restarts": 0,
        },
        "created_at": "2026-11-05T10:00:00Z",
    }


def test_a_running_task_shows_its_last_checkpoint(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=SIZE // 2, md5_state=b"\0" * 29, validator='{"etag": "1"}')
    running = claimed.checkpointed(point, size=SIZE, rate=104857600.4, now=NOW + 4, lease_seconds=90)
    changed(backend, claimed, running)
    body = checked(client, running, 202)
    assert (body["status"], body["activity"]) == ("running", "hashing")
    assert body["progress"] == {
        "bytes": SIZE // 2,
        "total": SIZE,
        "percent": 50.0,
        "bytes_per_second": 104857600,
        "eta_seconds": 4,
        "resumed_from": None,
        "restarts": 0,
    }


def test_a_task_in_back_off_says_why_in_public_words_and_when_it_goes_on(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    failure = Failure(FailureCode.TLS, "203.0.113.7:\nbad certificate")
    changed(backend, claimed, claimed.retried(failure, NOW, delay=9.2))
    body = checked(client, task, 202)
    assert (body["status"], body["activity"]) == ("queued", "retrying")
    counted = {"attempt": 2, "most_attempts": 2}
    assert body["retry"] == {"code": "tls", "message": "(address): bad certificate", "in_seconds": 10} | counted
    backend.clock.now = NOW + 60
    assert checked(client, task, 202)["retry"]["in_seconds"] == 0


def test_a_back_off_tells_no_port_scanner_what_was_found(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    changed(backend, claimed, claimed.retried(Failure(FailureCode.DNS, "intern.example has no address"), NOW, delay=9))
    retry = checked(client, task, 202)["retry"]
    assert retry["code"] == "connect"
    assert "intern.example" not in retry["message"]


def test_what_another_worker_went_on_with_says_from_where(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=128, md5_state=b"\0" * 29, validator="")
    half = changed(backend, claimed, claimed.checkpointed(point, size=256, rate=1.0, now=NOW, lease_seconds=90))
    released = changed(backend, half, half.released(NOW))
    between = checked(client, task, 202)
    assert (between["status"], between["activity"], between["progress"]["resumed_from"]) == ("running", "waiting", None)
    changed(backend, released, released.claimed(NOW, 90))
    after = checked(client, task, 202)
    assert (after["activity"], after["progress"]["resumed_from"]) == ("hashing", 128)
    backend.clock.now = NOW + 91  # and it died
    assert checked(client, task, 202)["activity"] == "waiting"


@pytest.mark.parametrize("case", ["between two slices", "after a worker died", "before the first checkpoint"])
def test_what_nobody_reads_has_no_speed_and_promises_no_end(client: Client, backend: Backend, case: str) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=SIZE // 2, md5_state=b"\0" * 29, validator="")
    half = changed(backend, claimed, claimed.checkpointed(point, size=SIZE, rate=SIZE / 2, now=NOW, lease_seconds=90))
    assert checked(client, task, 202)["progress"]["eta_seconds"] == 1
    backend.clock.now = NOW + 200
    if case != "after a worker died":
        half = changed(backend, half, half.released(NOW + 200))
    if case == "before the first checkpoint":
        changed(backend, half, half.claimed(NOW + 200, 90))
    answer = client.request("GET", f"/check?id={task.id}")
    progress = answer.json()["progress"]
    assert (progress["bytes"], progress["bytes_per_second"], progress["eta_seconds"]) == (SIZE // 2, None, None)
    assert answer.headers["retry-after"] == "20"  # a tenth of its age, and not the second that was left


def test_a_task_that_began_again_because_its_file_changed_says_so(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=128, md5_state=b"\0" * 29, validator="")
    half = changed(backend, claimed, claimed.checkpointed(point, size=256, rate=1.0, now=NOW, lease_seconds=90))
    changed(backend, half, half.restarted(NOW))
    progress = checked(client, task, 202)["progress"]
    assert (progress["bytes"], progress["restarts"]) == (0, 1)


def test_the_expected_md5_is_told_in_every_state(client: Client, backend: Backend) -> None:
    task = stored(backend, expected_md5=MD5)
    assert checked(client, task, 202)["expected_md5"] == MD5
    claimed = changed(backend, task, task.claimed(NOW, 90))
    assert checked(client, task, 202)["expected_md5"] == MD5
    changed(backend, claimed, claimed.failed(Failure(FailureCode.HTTP, "404"), NOW))
    assert checked(client, task, 424)["expected_md5"] == MD5
    other = stored(backend, expected_md5=MD5)
    changed(backend, other, other.cancelled(NOW))
    assert checked(client, other, 410)["expected_md5"] == MD5


@pytest.mark.parametrize(
    ("expected", "match"),
    [
        (None, {}),
        (MD5, {"expected_md5": MD5, "match": True}),
        ("0" * 32, {"expected_md5": "0" * 32, "match": False}),
    ],
    ids=["none", "same", "other"],
)
def test_a_done_task_answers_its_digest_and_whether_it_is_the_expected_one(
    client: Client, backend: Backend, expected: str | None, match: dict[str, bool | str]
) -> None:
    task = stored(backend, expected_md5=expected)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    done = changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7.9))
    assert checked(client, done, 200) == match | {
        "id": task.id,
        "status": "done",
        "complete": True,
        "url": URL,
        "md5": MD5,
        "size": SIZE,
        # A worker of an earlier version knew no more.
        "name": "file.txt",
        "final_url": None,
        "content_type": None,
        "etag": None,
        "last_modified": None,
        "version": None,
        "notes": [],
        "seconds": 7.9,
        "created_at": "2026-11-05T10:00:00Z",
        "finished_at": "2026-11-05T10:00:07Z",
    }


def test_a_digest_that_was_computed_for_another_task_says_when(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    done = changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7.9, reused_at=NOW - 3600.5))
    assert checked(client, done, 200)["reused"] == {"computed_at": "2026-11-05T08:59:59Z"}


def test_a_done_task_tells_what_the_response_said_of_the_file(client: Client, backend: Backend) -> None:
    task = described(
        backend,
        name="größe.bam",
        final_url="https://cdn.site.com/81?X-Amz-Signature=secret",
        content_type="application/gzip",
        etag='W/"5f-abc"',
        last_modified=NOW - 0.5,
        proof=Proof.LAST_MODIFIED,
        notes=("content-encoding",),
    )
    body = checked(client, task, 200)
    assert (body["name"], body["content_type"]) == ("größe.bam", "application/gzip")
    assert body["final_url"] == "https://cdn.site.com/81?…"
    assert (body["etag"], body["last_modified"]) == ('W/"5f-abc"', "2026-11-05T09:59:59Z")
    assert body["version"] == {
        "etag": 'W/"5f-abc"',
        "last_modified": "2026-11-05T09:59:59Z",
        "proof": "last-modified",
    }
    [note] = body["notes"]
    assert note["code"] == "content-encoding"
    assert note["message"].startswith("The server sent the file compressed")


def test_a_login_page_is_remarked_on(client: Client, backend: Backend) -> None:
    task = described(
        backend,
        size=533,
        final_url="https://site.com/login?next=%2Ffile.txt",
        content_type="text/html",
        notes=("web-page",),
    )
    assert checked(client, task, 200)["notes"] == [
        {
            "code": "web-page",
            "message": "The server sent a web page (text/html, 533 bytes). Is this the file you meant?",
        }
    ]


def test_a_server_without_validators_is_remarked_on(client: Client, backend: Backend) -> None:
    body = checked(client, described(backend, etag=None, proof=Proof.LENGTH), 200)
    assert body["version"] == {"etag": None, "last_modified": None, "proof": "length"}
    message = "This server gives no way to tell whether the file changed while it was read."
    assert body["notes"] == [{"code": "no-validator", "message": message}]


def test_a_validator_that_was_not_confirmed_is_no_missing_one(client: Client, backend: Backend) -> None:
    body = checked(client, described(backend, etag='"v1"', proof=Proof.LENGTH), 200)
    assert body["version"] == {"etag": '"v1"', "last_modified": None, "proof": "length"}
    [note] = body["notes"]
    assert note["code"] == "unconfirmed-validator"
    assert note["message"].startswith("The server did not confirm its ETag when asked again")


def test_a_date_before_1970_is_shown(client: Client, backend: Backend) -> None:
    body = checked(client, described(backend, last_modified=-315619200.0, proof=Proof.LAST_MODIFIED), 200)
    assert body["version"]["last_modified"] == "1960-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://site.com/file.txt?version=2&part=b#top", "https://site.com/file.txt?version=2&part=b#top"),
        ("https://site.com/file.txt?X-Amz-Signature=secret&a=b", "https://site.com/file.txt?…"),
        ("https://site.com/file.txt?a=b#access_token=secret", "https://site.com/file.txt?a=b#…"),
        ("https://site.com/file.txt;jsessionid=secret?a=b", "https://site.com/file.txt;jsessionid=…?a=b"),
    ],
)
def test_a_signature_of_the_submitted_url_is_hidden_in_every_state(
    client: Client, backend: Backend, url: str, shown: str
) -> None:
    waiting = stored(backend, url=url)
    ended = stored(backend, url=url)
    changed(backend, ended, ended.cancelled(NOW))
    broken = stored(backend, url=url)
    claimed = changed(backend, broken, broken.claimed(NOW, 90))
    changed(backend, claimed, claimed.failed(Failure(FailureCode.HTTP, f"{shown_url(url)}: no"), NOW))
    done = described(backend, url=url, final_url=url.partition("#")[0])
    for task, status in ((waiting, 202), (ended, 410), (broken, 424), (done, 200)):
        assert checked(client, task, status)["url"] == shown
        for headers, more in (({}, ""), (BROWSER, ""), ({}, "&format=md5sum")):
            answer = client.request("GET", f"/check?id={task.id}{more}", headers=headers)
            assert b"secret" not in answer.body
    assert checked(client, done, 200)["final_url"] == shown.partition("#")[0]
    line = client.request("GET", f"/check?id={done.id}&format=md5sum").body.decode()
    assert line == f"{MD5}  file.txt\n"


def test_a_failed_task_says_why(client: Client, backend: Backend) -> None:
    task = failed(backend, Failure(FailureCode.HTTP, "the server answered 404 Not Found"))
    assert checked(client, task, 424) == {
        "id": task.id,
        "status": "failed",
        "complete": True,
        "url": URL,
        "error": {"code": "http", "message": "the server answered 404 Not Found"},
        "created_at": "2026-11-05T10:00:00Z",
        "finished_at": "2026-11-05T10:00:07Z",
    }


def test_blocked_dns_and_connect_cannot_be_told_apart(client: Client, backend: Backend) -> None:
    errors = [
        checked(client, failed(backend, Failure(code, f"intranet.example is 10.0.0.7 ({code})")), 424)["error"]
        for code in (FailureCode.BLOCKED, FailureCode.DNS, FailureCode.CONNECT)
    ]
    assert errors[0] == errors[1] == errors[2]
    assert errors[0]["code"] == "connect"


def test_no_other_failure_names_a_resolved_address(client: Client, backend: Backend) -> None:
    task = failed(backend, Failure(FailureCode.TLS, "a.example [2a00:1450::1]:443 (203.0.113.7):\nbad certificate"))
    message = checked(client, task, 424)["error"]["message"]
    assert message == "a.example (address):443 ((address)): bad certificate"


def test_the_exact_failure_stays_in_the_table(client: Client, backend: Backend) -> None:
    failure = Failure(FailureCode.BLOCKED, "intranet.example is 10.0.0.7")
    task = failed(backend, failure)
    checked(client, task, 424)
    assert backend.table.get(task.id).error == failure


@pytest.mark.parametrize(
    "query",
    [
        "?id=1",
        "?id=0e4fac17-f367-4807-8c28-8a059a2f82ac",
        "?id=%7B{id}%7D",
        "?id=urn:uuid:{id}",
        "?id={bare}",
        "?id={id}%0A",
        "?id={id}%00",
        "?id=%ff",
        "?id=%ED%A0%80",
        "?id=" + "9" * 5000,
    ],
)
def test_every_id_that_names_no_task_gets_one_and_the_same_answer(client: Client, backend: Backend, query: str) -> None:
    task = stored(backend)
    answer = client.request(
        "GET", "/check" + query.replace("{id}", task.id).replace("{bare}", task.id.replace("-", ""))
    )
    refused(answer, 404, "task-not-found", "id")
    assert answer.body == expired(client, backend).body


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("query", "words"), [("", "missing"), ("?id=", "missing"), ("?ID={id}", "missing"), ("?id={id}&id={id}", "once")]
)
def test_a_request_without_the_one_id_says_so(
    client: Client, backend: Backend, method: str, query: str, words: str
) -> None:
    answer = client.request(method, "/check" + query.replace("{id}", stored(backend).id))
    assert words in refused(answer, 422, "invalid-request", "id")


def expired(client: Client, backend: Backend) -> Answer:
    task = stored(backend)
    backend.clock.now = task.expires_at
    return client.request("GET", f"/check?id={task.id}")


def test_an_id_is_one_and_the_same_in_capitals(client: Client, backend: Backend) -> None:
    task = stored(backend)
    assert client.request("GET", f"/check?id={task.id.upper()}").json()["id"] == task.id


def test_what_is_added_to_a_mailed_link_is_ignored(client: Client, backend: Backend) -> None:
    assert client.request("GET", f"/check?utm_source=mail&id={stored(backend).id}").status == 202


def test_head_answers_as_get_does_without_the_body(backend: Backend) -> None:
    # Of the server only: the gateway, not the function, leaves the body out.
    task = stored(backend)
    with served(backend.app()) as server:
        get, head = (server.request(method, f"/check?id={task.id}") for method in ("GET", "HEAD"))
    assert head.status == get.status == 202
    assert head.body == b""
    kept = ("content-type", "cache-control", "retry-after", "content-length")
    assert [head.headers[name] for name in kept] == [get.headers[name] for name in kept]


@pytest.mark.parametrize(("age", "seconds"), [(0, "1"), (60, "6"), (3600, "30")])
def test_retry_after_grows_with_the_age_of_the_task(client: Client, backend: Backend, age: int, seconds: str) -> None:
    task = stored(backend)
    backend.clock.now = NOW + age
    answer = client.request("GET", f"/check?id={task.id}")
    assert answer.headers["retry-after"] == seconds


def test_a_finished_task_names_no_time_to_ask_again(client: Client, backend: Backend) -> None:
    task = failed(backend, Failure(FailureCode.HTTP, "404"))
    assert "retry-after" not in client.request("GET", f"/check?id={task.id}").headers


def test_a_restarted_task_shows_no_progress_again(client: Client, backend: Backend) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=64, md5_state=b"\0" * 29, validator="")
    ahead = changed(backend, claimed, claimed.checkpointed(point, size=128, rate=1.0, now=NOW, lease_seconds=90))
    queued = changed(backend, ahead, replace(ahead, checkpoint=None, size=None, rate=None))
    assert checked(client, queued, 202)["progress"]["bytes"] == 0
