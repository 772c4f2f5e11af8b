"""What a browser gets, read as a browser reads it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.web.conftest import MD5, NOW, SIZE, URL, Backend, changed, described, failed, stored
from tests.support.stores.memory import secret
from tests.support.web.clients import FORM, MULTIPART, GatewayClient, part, served
from tests.support.web.page import BROWSER, Page, opened, sent
from urlsum.errors import FailureCode
from urlsum.mail.suppression import link
from urlsum.settings import Settings
from urlsum.task import Checkpoint, Failure, Proof
from urlsum.text.redact import CAUSES, PUBLIC_CODES
from urlsum.web import pages as web_pages
from urlsum.web import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.web.clients import Answer, Client

LOST = "/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"


def running(backend: Backend, *, size: int | None = SIZE) -> str:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    point = Checkpoint(offset=SIZE // 2, md5_state=b"\0" * 29, validator="")
    changed(backend, claimed, claimed.checkpointed(point, size=size, rate=104857600.4, now=NOW + 4, lease_seconds=90))
    return task.id


def done(backend: Backend, **fields: Any) -> str:
    task = stored(backend, **fields)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    return changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7)).id


def test_a_queued_task_is_asked_for_again_by_the_page_itself_after_retry_after(
    client: Client, backend: Backend
) -> None:
    task = stored(backend)
    backend.clock.now = NOW + 60
    answer = client.request("GET", f"/check?id={task.id}", headers=BROWSER)
    page = Page(answer)
    assert (answer.status, answer.headers["retry-after"]) == (202, "6")
    assert {"http-equiv": "refresh", "content": "6"} in page.all("meta")
    assert page.by_id("live")["data-after"] == "6"
    [bar] = page.all("progress")
    assert "hidden" in bar
    assert b"example@abc.ru" not in answer.body


def test_the_refreshing_can_be_stopped_and_goes_on_when_asked(client: Client, backend: Backend) -> None:
    task = stored(backend)
    [_, stop, _] = opened(client, f"/check?id={task.id}", 202).all("a")
    assert stop["href"] == f"?id={task.id}&refresh=no"
    still = opened(client, f"/check{stop['href']}", 202)
    assert not any("http-equiv" in meta for meta in still.all("meta"))
    [_, start, _] = still.all("a")
    assert start["href"] == f"?id={task.id}"


def test_a_running_task_shows_bytes_percent_rate_and_time_left(client: Client, backend: Backend) -> None:
    page = opened(client, f"/check?id={running(backend)}", 202)
    [bar] = page.all("progress")
    assert (bar["value"], bar["max"]) == ("50.0", "100")
    for shown in ("Hashing", "file.txt", "50.0 %", "350.0 MiB of 700.0 MiB", "100.0 MiB/s", "about 4 s"):
        assert shown in page.text
    assert "hidden" in page.by_id("retry")


def test_a_task_in_back_off_says_what_went_wrong_in_public_words_and_when_it_is_tried_again(
    client: Client, backend: Backend
) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    failure = Failure(FailureCode.INCOMPLETE, f"{URL}: 203.0.113.9 closed the connection")
    changed(backend, claimed, claimed.retried(failure, NOW, delay=75))
    page = opened(client, f"/check?id={task.id}", 202)
    assert "hidden" not in page.by_id("retry")
    assert "Retrying soon" in page.text
    assert "The last attempt failed. (address) closed the connection" in page.text  # the URL is on the page already
    assert "Attempt 2 of 5 in 1 min 15 s." in page.text
    assert "203.0.113.9" not in page.text


def test_a_task_that_another_worker_went_on_with_says_from_where(client: Client, backend: Backend) -> None:
    half = backend.table.get(running(backend))
    released = changed(backend, half, half.released(NOW + 5))
    assert "Waiting" in opened(client, f"/check?id={half.id}", 202).text
    changed(backend, released, released.claimed(NOW + 5, 90))
    page = opened(client, f"/check?id={half.id}", 202)
    assert "Hashing" in page.text
    assert "Resumed at350.0 MiB" in page.text


def test_a_digest_that_was_computed_for_another_task_says_when(client: Client, backend: Backend) -> None:
    task = backend.table.get(running(backend))
    changed(backend, task, task.done("0" * 32, 2**20, NOW, reused_at=NOW - 3600))
    text = opened(client, f"/check?id={task.id}", 200).text
    assert "MD5 computed" in text
    assert "The MD5 was computed for another task. The server still has that version of the file" in text


def test_of_a_file_of_unknown_length_only_what_is_known_is_shown(client: Client, backend: Backend) -> None:
    page = opened(client, f"/check?id={running(backend, size=None)}", 202)
    [bar] = page.all("progress")
    assert "value" not in bar
    assert "350.0 MiB" in page.text
    assert " of " not in page.text
    assert "%" not in page.text
    assert "None" not in page.text


@pytest.mark.parametrize(("expected", "verdict"), [(None, None), (MD5, "✓Match"), ("0" * 32, "✗Does not match")])
def test_a_done_task_shows_digest_size_and_verdict(
    client: Client, backend: Backend, expected: str | None, verdict: str | None
) -> None:
    page = opened(client, f"/check?id={done(backend, expected_md5=expected)}")
    assert MD5 in page.text
    assert "700.0 MiB (734,003,200 bytes)" in page.text
    assert ("atch" in page.text) is (verdict is not None)
    assert verdict is None or verdict in page.text.replace("\n", "")
    good = {None: [], MD5: ["verdict good"]}.get(expected, ["verdict bad"])
    shown = [part.get("class") for part in page.all("div") if "hidden" not in part]
    assert [name for name in shown if (name or "").startswith("verdict")] == good
    assert (f"{MD5}  file.txt\n" in page.text) is (expected != "0" * 32)  # it would call a copy of the wrong file OK
    assert ("0" * 32 in page.text) is (expected == "0" * 32)
    assert not any("http-equiv" in meta for meta in page.all("meta"))


def test_a_done_task_shows_name_type_version_and_notes(client: Client, backend: Backend) -> None:
    task = described(
        backend,
        size=533,
        name="sample <1>.bam",
        final_url="https://site.com/login?next=secret",
        content_type="text/html",
        last_modified=NOW - 86400,
        notes=("web-page", "transformed"),
    )
    page = opened(client, f"/check?id={task.id}")
    assert "Redirected to https://site.com/login?…" in page.text
    assert "secret" not in page.text
    assert f"{MD5}  sample <1>.bam\n" in page.text
    assert "The server sent a web page (text/html, 533 bytes). Is this the file you meant?" in page.text
    assert "The server altered the stored file before sending it" in page.text
    assert "All bytes of the file came with the same ETag." in page.text
    assert page.text.count("https://site.com/login") == 2  # as words and as JSON
    assert "Last modified2026-11-04 10:00:00 UTC" in page.text
    assert "Typetext/html" in page.text
    assert [part["class"] for part in page.all("p") if part.get("class") == "note"] == ["note", "note"]


def test_a_done_task_without_oddities_has_no_note(client: Client, backend: Backend) -> None:
    page = opened(client, f"/check?id={described(backend).id}")
    assert "Redirected" not in page.text
    assert not [part for part in page.all("p") if part.get("class") == "note"]


def test_a_done_task_says_how_long_it_took_and_at_what_rate(client: Client, backend: Backend) -> None:
    text = opened(client, f"/check?id={done(backend)}").text
    assert "Took7 s" in text
    assert "Mean rate100.0 MiB/s, waiting included" in text


@pytest.mark.parametrize(
    ("size", "seconds", "reused_at", "took"),
    [(SIZE, 0.5, None, "under a second"), (0, 90.0, None, "1 min 30 s"), (SIZE, 90.0, NOW, "1 min 30 s")],
)
def test_there_is_no_rate_where_it_would_mean_nothing(
    client: Client, backend: Backend, size: int, seconds: float, reused_at: float | None, took: str
) -> None:
    task = stored(backend)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    ended = changed(backend, claimed, claimed.done(MD5, size, NOW + seconds, reused_at=reused_at))
    text = opened(client, f"/check?id={ended.id}").text
    assert f"Took{took}" in text
    assert "Mean rate" not in text


def test_the_digits_that_differ_are_marked_in_both_digests(client: Client, backend: Backend) -> None:
    expected = "0" + MD5[1:]
    page = opened(client, f"/check?id={done(backend, expected_md5=expected)}")
    assert len(page.all("mark")) == 2
    assert "1 of 32 digits differs and is marked. Perhaps the expected MD5 has a typing error." in page.text
    assert not opened(client, f"/check?id={done(backend, expected_md5=MD5)}").all("mark")


def test_the_title_names_the_file_after_what_matters(client: Client, backend: Backend) -> None:
    for target, title in (
        (running(backend), "50.0 %"),
        (stored(backend).id, "Waiting"),
        (done(backend), "Done"),
        (done(backend, expected_md5=MD5), "Match"),
        (cancelled(backend), "Cancelled"),
    ):
        body = client.request("GET", f"/check?id={target}", headers=BROWSER).body.decode()
        assert f"<title>{title} – file.txt – urlsum</title>" in body  # noqa: RUF001 - a title has a dash


def test_a_page_says_honestly_that_nothing_proves_the_version(client: Client, backend: Backend) -> None:
    page = opened(client, f"/check?id={described(backend, etag=None, proof=Proof.LENGTH).id}")
    message = "This server gives no way to tell whether the file changed while it was read."
    assert page.text.count(message) == 2  # as words and as JSON


def test_what_an_origin_says_cannot_leave_its_place_in_the_page(client: Client, backend: Backend) -> None:
    hostile = "<script>alert(1)</script>\"'"
    task = described(
        backend, name=hostile, final_url=f"https://h/{hostile}", content_type=hostile, etag=hostile, notes=("web-page",)
    )
    answer = client.request("GET", f"/check?id={task.id}", headers=BROWSER)
    assert answer.status == 200
    assert b"<script>alert" not in answer.body


def test_a_failed_task_shows_the_public_reason_only(client: Client, backend: Backend) -> None:
    task = failed(backend, Failure(FailureCode.BLOCKED, "intranet.example is 10.0.0.7"))
    page = opened(client, f"/check?id={task.id}", 424)
    assert "could not connect" in page.text
    assert "10.0.0.7" not in page.text


@pytest.mark.parametrize("code", PUBLIC_CODES)
def test_a_failed_task_says_what_happened_why_and_what_to_do(
    client: Client, backend: Backend, code: FailureCode
) -> None:
    page = opened(client, f"/check?id={failed(backend, Failure(code, f'{URL}: no luck')).id}", 424)
    for words in (*CAUSES[code], code):
        assert words in page.text
    assert f"{URL}: no luck" not in page.text  # the URL is there once already


@pytest.mark.parametrize("expected", [None, MD5])
@pytest.mark.parametrize("url", ["http://site.com/a?b=1&c=%2B+é", f"http://site.com/a?b={'%41' * 2500}"])
def test_it_can_be_submitted_again_as_it_was_but_for_the_mail(
    client: Client, backend: Backend, url: str, expected: str | None
) -> None:
    task = stored(backend, url=url, expected_md5=expected)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    changed(backend, claimed, claimed.failed(Failure(FailureCode.HTTP, "404"), NOW))
    answer = client.request("GET", f"/check?id={task.id}", headers=BROWSER)
    page = Page(answer)
    assert b"example@abc.ru" not in answer.body
    [form] = page.all("form")
    assert (form["method"], form["action"], form["enctype"]) == ("post", "/submit", "multipart/form-data")
    fields = {field["name"] or "": field["value"] or "" for field in page.all("input")}
    assert {field["type"] for field in page.all("input")} == {"hidden"}
    body = b"".join(part(name, value.encode()) for name, value in fields.items()) + b"--XX--"
    assert sent(client, body, MULTIPART).status == 303
    again = backend.table.get(backend.queue.sent[-1][0])
    assert (again.url, again.expected_md5, again.email) == (task.url, expected, None)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_signed_url_is_asked_for_again_and_stands_in_no_form(client: Client, backend: Backend, state: str) -> None:
    task = stored(backend, url="https://site.com/a.bam?sig=secret", expected_md5=MD5)
    claimed = changed(backend, task, task.claimed(NOW, 90))
    failure = Failure(FailureCode.HTTP, "404")
    changed(backend, claimed, claimed.failed(failure, NOW) if state == "failed" else claimed.cancelled(NOW))
    answer = client.request("GET", f"/check?id={task.id}", headers=BROWSER)
    assert b"secret" not in answer.body
    page = Page(answer)
    asked = page.field("url")
    assert (asked["type"], asked.get("value"), "required" in asked) == ("url", None, True)
    assert {"for": asked["id"]} in page.all("label")
    assert "Paste the whole link again." in page.text
    assert "Expects the same MD5." in page.text
    assert page.field("md5")["value"] == MD5
    assert "https://site.com/a.bam?…" in page.text
    body = part("url", task.url.encode()) + part("md5", MD5.encode()) + b"--XX--"
    assert sent(client, body, MULTIPART).status == 303
    assert backend.table.get(backend.queue.sent[-1][0]).url == task.url


def test_a_url_with_its_md5_as_a_fragment_is_tried_again_as_it_is(client: Client, backend: Backend) -> None:
    url = f"https://site.com/a.conda#{MD5.lower()}"
    task = stored(backend, url=url, expected_md5=MD5.lower())
    claimed = changed(backend, task, task.claimed(NOW, 90))
    changed(backend, claimed, claimed.failed(Failure(FailureCode.HTTP, "404"), NOW))
    page = opened(client, f"/check?id={task.id}", 424)
    assert (page.field("url")["type"], page.field("url")["value"]) == ("hidden", url)


@pytest.mark.parametrize("query", ["?id=1", LOST.removeprefix("/check"), "?id=%ff"])
def test_no_task_is_one_and_the_same_page(client: Client, query: str) -> None:
    answer = client.request("GET", f"/check{query}", headers=BROWSER)
    assert answer.status == 404
    assert "no task with this id" in Page(answer).text
    assert answer.body == client.request("GET", LOST, headers=BROWSER).body


PRODUCT = 7_654_321 * 7_654_321  # of digits enough that no port and no id happens to hold them
HOSTILE = '"><script>alert(1)</script>&amp;{{7654321*7654321}}'


def test_nothing_that_was_sent_becomes_markup(client: Client, backend: Backend) -> None:
    answers = [
        sent(client, json.dumps({"url": HOSTILE}), "application/json"),
        sent(client, json.dumps({"url": URL, "email": HOSTILE}), "application/json"),
        sent(client, json.dumps({"url": URL, HOSTILE: "x"}), "application/json"),
        client.request("GET", "/<script>", headers=BROWSER),
        client.request("GET", "/", headers={**BROWSER, "Host": 'a"><script>.org'}),
    ]
    task = stored(backend)
    changed(backend, task, replace(task, url=f"http://a.org/{HOSTILE}"))
    answers.append(client.request("GET", f"/check?id={task.id}", headers=BROWSER))
    for answer in answers:
        page = Page(answer)
        assert len(page.all("script")) == len(scripts(answer))  # no more than the policy knows
        assert str(PRODUCT).encode() not in answer.body
    assert Page(answers[0]).field("url")["value"] == HOSTILE
    assert f"http://a.org/{HOSTILE}" in Page(answers[-1]).text


@pytest.mark.parametrize("typed", ["\\ud800", "\\u0000", "\\r\\nx"])
def test_what_no_page_can_hold_does_not_break_it(client: Client, typed: str) -> None:
    answer = sent(client, f'{{"email": "ok", "url": "http://a.org/{typed}"}}', "application/json")
    assert answer.status == 422
    assert Page(answer).field("email")["value"] == "ok"


def scripts(answer: Answer) -> list[str]:
    """The hashes of the scripts that may run in it."""
    [directive] = re.findall(r"script-src ([^;]+)", answer.headers["content-security-policy"]) or [""]
    return re.findall(r"'(sha256-[^']+)'", directive)


def cancelled(backend: Backend) -> str:
    task = stored(backend)
    return changed(backend, task, task.cancelled(NOW)).id


def pages(client: Client, backend: Backend) -> Iterator[Answer]:
    for target in (
        "/",
        f"/check?id={stored(backend).id}",
        f"/check?id={stored(backend).id}&cancel=ask",
        f"/check?id={running(backend)}",
        f"/check?id={done(backend)}",
        f"/check?id={done(backend, expected_md5=MD5)}",
        f"/check?id={done(backend, expected_md5='0' * 32)}",
        f"/check?id={cancelled(backend)}",
        f"/check?id={failed(backend, Failure(FailureCode.HTTP, '404')).id}",
        link(secret, "anna@example.org", ""),
        LOST,
        "/nowhere",
        "/submit",
    ):
        yield client.request("GET", target, headers=BROWSER)
    yield sent(client, "url=")


def test_every_page_keeps_the_strict_policy_that_it_states(client: Client, backend: Backend) -> None:
    for answer in pages(client, backend):
        page = Page(answer)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        live, finished, form = (f'id="{name}"'.encode() in answer.body for name in ("live", "compare", "several"))
        assert answer.headers["content-security-policy"].split("; ") == [
            "default-src 'none'",
            *(f"style-src {each}" for each in hashed(answer, "style")),
            *([" ".join(["script-src", *hashed(answer, "script")])] if page.all("script") else []),
            *(["connect-src 'self'"] if live else []),
            *(["worker-src 'self'"] if finished else []),
            "img-src data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
        assert len(page.all("script")) == (0 if b"One-Click" in answer.body else 1 + (live or finished or form))
        # Nothing that the policy would block: neither handlers nor styles in attributes, nor anything from elsewhere.
        for tag, attributes in page.elements:
            assert tag not in {"img", "iframe", "object"}
            assert not any(name in ("style", "src") or name.startswith("on") for name in attributes)
            assert tag != "link" or (attributes["href"] or "").startswith("data:")


def hashed(answer: Answer, tag: str) -> list[str]:
    """What a policy calls each of these elements."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), answer.body, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'" for content in contents]


def test_all_of_it_is_under_forty_kilobytes(client: Client, backend: Backend) -> None:
    folder = Path(web_pages.__file__).parent
    parts = [path for kind in ("html", "css", "js") for path in folder.glob(f"*.{kind}") if path.stem != "docs"]
    files = {path.name: path.stat().st_size for path in parts}
    assert len(files) > 5
    # The worker comes apart, and only where somebody compares a file.
    assert sum(size for name, size in files.items() if name != script.PATH) < 40_000
    assert max(len(answer.body) for answer in pages(client, backend)) < 22_000
    assert files[script.PATH] < 10_000


def test_every_page_has_what_a_screen_reader_and_a_phone_need(client: Client, backend: Backend) -> None:
    for answer in pages(client, backend):
        page = Page(answer)
        assert page.all("html") == [{"lang": "en"}]
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
        assert [len(page.all(tag)) for tag in ("title", "main", "h1")] == [1, 1, 1]
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            assert set((attributes.get("aria-describedby") or "").split()) <= set(ids)


def test_a_terminal_gets_json_from_each_path_that_has_a_page(client: Client, backend: Backend) -> None:
    for target in ("/", f"/check?id={stored(backend).id}", LOST, "/nowhere"):
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/html"}):
            answer = client.request("GET", target, headers=headers)
            assert "json" in answer.headers["content-type"]
            assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(("headers", "accepted"), [({}, 202), (BROWSER, 303)])
def test_every_answer_says_that_accept_chose_it(
    client: Client, backend: Backend, headers: dict[str, str], accepted: int
) -> None:
    queued, ended = stored(backend), done(backend)
    requests: list[tuple[str, str, bytes | None]] = [
        ("GET", "/", None),
        ("POST", "/submit", f"url={URL}".encode()),
        ("POST", "/submit", b"url=nowhere"),
        ("POST", "/submit", b"x" * 9000),
        ("GET", f"/check?id={queued.id}", None),
        ("GET", f"/check?id={ended}", None),
        ("GET", f"/check?id={ended}&format=md5sum", None),
        ("GET", f"/check?id={ended}&format=other", None),
        ("GET", f"/check?id={cancelled(backend)}", None),
        ("GET", f"/check?id={failed(backend, Failure(FailureCode.HTTP, '404')).id}", None),
        ("GET", LOST, None),
        ("GET", "/nowhere", None),
        ("PUT", "/submit", b""),
        ("DELETE", f"/check?id={queued.id}", None),
        ("DELETE", f"/check?id={ended}", None),
    ]
    seen = set()
    for method, target, body in requests:
        answer = client.request(method, target, body, {"Content-Type": FORM, **headers})
        assert answer.headers["vary"] == "Accept", (method, target)
        seen.add(int(answer.status))
    assert seen == {200, accepted, 202, 404, 405, 409, 410, 413, 422, 424}


def test_the_json_of_the_root_says_how_to_use_it(client: Client, backend: Backend) -> None:
    backend.settings = Settings(public_url="https://example.org/sums/")
    answer = client.request("GET", "/")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    about = answer.json()
    assert (about["name"], list(about)) == ("urlsum", ["name", "version", "description", "submit", "check", "docs"])
    assert about["submit"].endswith(" https://example.org/sums/submit")
    assert about["check"] == "curl 'https://example.org/sums/check?id=…'"
    assert about["docs"] == "https://example.org/sums/docs"


def test_without_a_public_url_the_commands_name_the_host_that_was_asked(client: Client) -> None:
    answer = client.request("GET", "/", headers={"Host": "files.example.org:5000"})
    assert "://files.example.org:5000/submit" in answer.json()["submit"]


@pytest.mark.parametrize("host", ["[", "a b", "a/b?c#d", "\xff", "x:99999", ""])
def test_a_host_header_that_is_none_does_no_harm(client: Client, host: str) -> None:
    # A server may refuse it by itself.
    assert client.request("GET", "/", headers={**BROWSER, "Host": host}).status in (200, 400)


def test_head_of_the_form_has_no_body(backend: Backend) -> None:
    with served(backend.app()) as server:
        answer = server.request("HEAD", "/", headers=BROWSER)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "text/html; charset=utf-8")


@pytest.mark.parametrize(("path", "home"), [("/nowhere", "./"), ("/a/b/c", "../../"), ("/submit", "./")])
def test_links_of_errors_are_relative_to_their_path(client: Client, path: str, home: str) -> None:
    page = opened(client, path, 405 if path == "/submit" else 404)
    assert {link["href"] for link in page.all("a")} == {home}


@pytest.mark.parametrize("root", ["", "/"])
def test_under_a_stage_links_stay_within_it(backend: Backend, root: str) -> None:
    gateway = GatewayClient(backend.app(), stage="beta")
    try:
        assert opened(gateway, root).all("form")[0]["action"] == "/beta/submit"
        answer = sent(gateway, f"url={URL}")
        assert answer.headers["location"].startswith("/beta/check?id=")
        assert opened(gateway, f"/check?id={done(backend)}").all("a")[-1]["href"] == "/beta/"
    finally:
        gateway.close()


@pytest.mark.parametrize("root", ["/sums", "/sums/"])
def test_behind_a_mapped_domain_links_carry_its_path(backend: Backend, root: str) -> None:
    backend.settings = Settings(public_url="https://files.example.org/sums")
    gateway = GatewayClient(backend.app(), settings=backend.settings)
    try:
        page = opened(gateway, root)
        assert page.all("form")[0]["action"] == "/sums/submit"
        assert "https://files.example.org/sums/submit" in page.text
        assert opened(gateway, f"/sums/check?id={done(backend)}").all("a")[-1]["href"] == "/sums/"
    finally:
        gateway.close()


def test_pages_reach_the_gateway_as_text(backend: Backend) -> None:
    gateway = GatewayClient(backend.app())
    try:
        raw = gateway.raw("GET", "/", None, BROWSER)
        assert raw["isBase64Encoded"] is False
        assert raw["body"].startswith("<!doctype html>")
    finally:
        gateway.close()
