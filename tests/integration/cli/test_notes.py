"""Remarks about a digest on standard error: the digest stands, and a script that reads lines is not disturbed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import answers, head

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Script, Steps

    Run = Callable[..., subprocess.CompletedProcess[str]]

PAGE = b"<!doctype html><title>Sign in</title>" + b" " * 496
MD5 = hashlib.md5(PAGE).hexdigest()
SENTENCE = "The server sent a web page (text/html, 533 bytes). Is this the file you meant?"
UNPROVEN = "This server gives no way to tell whether the file changed while it was read."
TASK = "0b8e7ab0-6a9c-4b5c-9a0e-3c1de9f0a001"


def page(*fields: str) -> Steps:
    return [head("200 OK", "Content-Type: text/html; charset=utf-8", f"Content-Length: {len(PAGE)}", *fields), PAGE]


def test_a_web_page_is_remarked_on(run: Run, serve: Serve) -> None:
    url = serve(answers(page('ETag: "1"'))).url("/reads.bam")
    done = run(url)
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {url}\n")
    assert done.stderr == f"urlsum: {url}: note: {SENTENCE}\n"


def test_a_page_that_was_asked_for_is_not(run: Run, serve: Serve) -> None:
    done = run(serve(answers(page('ETag: "1"'))).url("/index.html"))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_login_page_that_a_redirect_led_to_is_named_without_its_query(run: Run, serve: Serve) -> None:
    def script(request: Request) -> Steps:
        if request.path.startswith("/login"):
            return page('ETag: "1"')
        return [head("302 Found", "Location: /login?ticket=secret", "Content-Length: 0")]

    origin = serve(script)
    url = origin.url("/reads.bam")
    done = run(url)
    assert done.stderr == f"urlsum: {url}: note: {SENTENCE} The URL redirects to it ({origin.url('/login')}?…).\n"


def test_each_remark_is_a_line_of_its_own(run: Run, serve: Serve) -> None:
    url = serve(answers(page())).url("/reads.bam")
    assert run(url).stderr == f"urlsum: {url}: note: {SENTENCE}\nurlsum: {url}: note: {UNPROVEN}\n"


@pytest.mark.parametrize(("options", "noted"), [([], True), (["--quiet"], True), (["--status"], False)])
def test_a_list_is_verified_with_remarks_unless_only_the_status_is_wanted(
    run: Run, serve: Serve, options: list[str], noted: bool
) -> None:
    url = serve(answers(page('ETag: "1"'))).url("/reads.bam")
    done = run("-c", *options, stdin=f"{MD5}  {url}\n")
    assert done.returncode == 0
    assert done.stderr == (f"urlsum: {url}: note: {SENTENCE}\n" if noted else "")


def test_the_remarks_of_a_service_are_passed_on(run: Run, serve: Serve) -> None:
    notes = [{"code": "new", "message": "a\x1b[2J\nb."}, {"code": "x"}, "y", {"message": 7}, {"message": SENTENCE}]
    body = {"id": TASK, "status": "done", "md5": MD5, "notes": notes}
    done = run("--server", serve(service(body)).url("/"), "https://files.example/a")
    assert done.stdout == f"{MD5}  https://files.example/a\n"
    prefix = "urlsum: https://files.example/a: note: "
    assert done.stderr == f"{prefix}a [2J b.\n{prefix}{SENTENCE}\n"


@pytest.mark.parametrize(
    ("final_url", "sentence"),
    [
        ("https://login.example/a?…", " The URL redirects to it (https://login.example/a?…)."),
        ("https://files.example/a", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_the_page_that_a_service_found_is_named_with_its_url(
    run: Run, serve: Serve, final_url: object, sentence: str
) -> None:
    notes = [{"code": "web-page", "message": SENTENCE}, {"code": "empty", "message": "Empty."}, {"message": "Coded?"}]
    body = {"id": TASK, "status": "done", "md5": MD5, "final_url": final_url, "notes": notes}
    done = run("--server", serve(service(body)).url("/"), "https://files.example/a")
    prefix = "urlsum: https://files.example/a: note: "
    assert done.stderr == f"{prefix}{SENTENCE}{sentence}\n{prefix}Empty.\n{prefix}Coded?\n"


def test_a_page_without_a_type_is_remarked_on(run: Run, serve: Serve) -> None:
    url = serve(answers([head("200 OK", f"Content-Length: {len(PAGE)}", 'ETag: "1"'), PAGE])).url("/reads.bam")
    assert run(url).stderr == f"urlsum: {url}: note: {SENTENCE.replace('text/html', 'HTML')}\n"


@pytest.mark.parametrize("notes", [None, [], {}, "x", 7])
def test_a_service_that_has_no_remarks_is_fine(run: Run, serve: Serve, notes: object) -> None:
    body = {"id": TASK, "status": "done", "md5": MD5} | ({} if notes is None else {"notes": notes})
    done = run("--server", serve(service(body)).url("/"), "https://files.example/a")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_service_cannot_flood_the_terminal(run: Run, serve: Serve) -> None:
    notes = [{"code": "n", "message": "m" * 1500}] * 500
    body = {"id": TASK, "status": "done", "md5": MD5, "notes": notes}
    done = run("--server", serve(service(body)).url("/"), "https://files.example/a")
    assert done.returncode == 0
    assert len(done.stderr) < 10_000


def service(done: object) -> Script:
    def sent(status: str, body: object) -> Steps:
        raw = json.dumps(body).encode()
        return [head(status, "Content-Type: application/json", f"Content-Length: {len(raw)}", "Connection: close"), raw]

    return answers(sent("202 Accepted", {"id": TASK}), sent("200 OK", done))
