"""``format=md5sum``: what other tools read."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.integration.web.conftest import MD5, NOW, changed, described, failed, stored
from tests.support.web.page import BROWSER, Page
from tests.support.web.refusals import refused
from urlsum.errors import FailureCode
from urlsum.task import Checkpoint, Failure, Proof

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Answer, Client
    from urlsum.task import Task

CONTENT = b"the file" * 1000


def plain_text(client: Client, task: Task, more: str = "") -> Answer:
    answer = client.request("GET", f"/check?id={task.id}&format=md5sum{more}", headers=BROWSER if more else {})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "Accept")
    assert b"example@abc.ru" not in answer.body
    assert answer.body.count(b"\n") == 1
    return answer


def done(backend: Backend, url: str = "http://site.com/file.txt", md5: str = MD5) -> Task:
    task = stored(backend, url=url)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    return changed(backend, claimed, claimed.done(md5, len(CONTENT), NOW + 7))


def test_a_done_task_is_the_line_of_md5sum(client: Client, backend: Backend) -> None:
    answer = plain_text(client, done(backend))
    assert (answer.status, answer.body.decode()) == (200, f"{MD5}  file.txt\n")
    assert "content-disposition" not in answer.headers


def test_the_name_is_that_of_the_response(client: Client, backend: Backend) -> None:
    task = described(backend, url="https://zenodo.org/api/records/1/files/reads.bam/content", name="reads.bam")
    assert plain_text(client, task).body.decode() == f"{MD5}  reads.bam\n"
    disposition = plain_text(client, task, "&download=yes").headers["content-disposition"]
    assert disposition == 'attachment; filename="reads.bam.md5"'


def test_notes_stand_in_a_header_and_no_line_is_added(client: Client, backend: Backend) -> None:
    answer = plain_text(client, described(backend, notes=("web-page",), proof=Proof.LENGTH, etag=None))
    assert answer.headers["urlsum-notes"] == "web-page, no-validator"
    assert answer.body.decode() == f"{MD5}  file.txt\n"
    assert "urlsum-notes" not in plain_text(client, described(backend)).headers


@pytest.mark.skipif(shutil.which("md5sum") is None, reason="there is no md5sum here")
@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/reads.bam?sig=1", "reads.bam"),
        ("https://a.org/a%20b%0A%5C%C3%A4", "a b\n\\ä"),
        ("https://a.org/", "a.org"),
    ],
)
def test_md5sum_itself_checks_a_copy_by_it(
    client: Client, backend: Backend, tmp_path: Path, url: str, name: str
) -> None:
    answer = plain_text(client, done(backend, url, hashlib.md5(CONTENT).hexdigest()))
    (tmp_path / name).write_bytes(CONTENT)
    for expected in (0, 1):
        checked = subprocess.run(
            ["md5sum", "--check", "--strict"], input=answer.body, cwd=tmp_path, capture_output=True, check=False
        )
        assert checked.returncode == expected, checked.stderr
        (tmp_path / name).write_bytes(CONTENT[1:])


@pytest.mark.parametrize("state", ["queued", "running", "retrying", "failed", "cancelled"])
def test_anything_else_is_said_in_words_with_the_status_of_the_other_formats(
    client: Client, backend: Backend, state: str
) -> None:
    task = stored(backend)
    claimed = task.claimed(NOW, 90)
    if state != "queued":
        changed(backend, task, claimed)
    match state:
        case "running":
            point = Checkpoint(offset=64, md5_state=b"\0" * 29, validator="")
            changed(backend, claimed, claimed.checkpointed(point, size=128, rate=1.0, now=NOW, lease_seconds=90))
        case "retrying":
            changed(backend, claimed, claimed.retried(Failure(FailureCode.HTTP, "503"), NOW, delay=9))
        case "failed":
            changed(backend, claimed, claimed.failed(Failure(FailureCode.DNS, "10.0.0.7"), NOW))
        case "cancelled":
            changed(backend, claimed, claimed.cancelled(NOW))
    answer = plain_text(client, task)
    json = client.request("GET", f"/check?id={task.id}")
    assert answer.status == json.status
    assert answer.headers.get("retry-after") == json.headers.get("retry-after")
    words = answer.body.decode().removeprefix("urlsum: http://site.com/file.txt: ")
    assert (
        words
        == {
            "queued": "waiting: check again in 1 s\n",
            "running": "hashing, 50.0 % done: check again in 1 s\n",
            "retrying": "retrying: check again in 1 s\n",
            "failed": "connect: urlsum could not connect to the host of this URL; check that the URL is right and that"
            " the host is public\n",
            "cancelled": "cancelled: no MD5\n",
        }[state]
    )


@pytest.mark.skipif(shutil.which("md5sum") is None, reason="there is no md5sum here")
def test_md5sum_takes_no_other_answer_for_a_line(client: Client, backend: Backend) -> None:
    for task in (stored(backend), failed(backend, Failure(FailureCode.HTTP, f"{MD5}  file.txt"))):
        checked = subprocess.run(
            ["md5sum", "--check"], input=plain_text(client, task).body, capture_output=True, check=False
        )
        assert checked.returncode == 1
        assert b"no properly formatted" in checked.stderr


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://site.com/file.txt", "file.txt.md5"),
        ("http://site.com/", "site.com.md5"),
        ("https://a.org/gr%C3%BC%C3%9Fe%20%22%3B.txt", 'grüße ";.txt.md5'),
        ("https://a.org/..%2F..%2Fetc", "..%2F..%2Fetc.md5"),
        ("https://a.org/a%0D%0ASet-Cookie:%20x=1", "a%0D%0ASet-Cookie:%20x=1.md5"),
        ("https://a.org/" + "x" * 5000, "x" * 80 + ".md5"),
    ],
)
def test_it_can_be_saved_under_a_safe_name(client: Client, backend: Backend, url: str, name: str) -> None:
    answer = plain_text(client, done(backend, url), "&download=yes")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    # Browsers take the second one where it is there (RFC 6266, 4.3).
    plain, _, encoded = disposition.partition("; filename*=UTF-8''")
    assert (unquote(encoded) or plain.partition('"')[2][:-1]) == name
    assert "set-cookie" not in answer.headers


def test_what_is_not_done_is_not_saved(client: Client, backend: Backend) -> None:
    assert "content-disposition" not in plain_text(client, stored(backend), "&download=yes").headers


@pytest.mark.parametrize("query", ["format=sha256", "format=", "format=MD5SUM", "format=md5sum&format=md5sum"])
def test_a_format_that_there_is_not_is_refused(client: Client, backend: Backend, query: str) -> None:
    target = f"/check?id={done(backend).id}&{query}"
    refused(client.request("GET", target), 422, "invalid-request", "format")
    page = client.request("GET", target, headers=BROWSER)
    assert page.status == 422
    assert "md5sum" in Page(page).text


def test_an_unknown_task_is_the_same_problem_as_ever(client: Client) -> None:
    target = "/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac&format=md5sum"
    refused(client.request("GET", target), 404, "task-not-found", "id")
