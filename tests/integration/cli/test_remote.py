"""``--server``: against the real service, and against services on a bad day."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import ENVIRONMENT
from tests.support.origin.origin_server import HANG, File, OriginServer, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess, Popen

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]
    Start = Callable[..., Popen[str]]

ROOT = Path(__file__).parents[3]
CONTENT = random.Random(6).randbytes(200_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
TASK = "0b8e7ab0-6a9c-4b5c-9a0e-3c1de9f0a001"
START_SECONDS = 30


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("service") / "urlsum.db"
    return path


@pytest.fixture(scope="module")
def service(database: Path) -> Iterator[str]:
    """``python -m selfhost.server`` with its embedded worker, on a free port and a fresh SQLite file."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {"PORT": str(port), "DATABASE_URI": f"sqlite:///{database}", "OUTBOX_DIR": str(database.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "selfhost.server"],
        cwd=ROOT,
        env=ENVIRONMENT | {"RETRY_BASE_SECONDS": "0.2"} | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def answered(status: str, body: object, *fields: str) -> Steps:
    raw = json.dumps(body).encode()
    return [
        head(status, "Content-Type: application/json", f"Content-Length: {len(raw)}", "Connection: close", *fields),
        raw,
    ]


ACCEPTED = answered("202 Accepted", {"id": TASK})
DONE = answered("200 OK", {"id": TASK, "status": "done", "md5": MD5})
PROGRESS = {"bytes": 100, "total": 200, "percent": 50.0, "bytes_per_second": None, "eta_seconds": None}
RUNNING = {"id": TASK, "status": "running", "progress": PROGRESS}
BUSY = answered("503 Service Unavailable", {"detail": "busy"}, "Retry-After: 1")


def test_the_same_lines_as_when_hashing_here(run: Run, serve: Serve, service: str) -> None:
    url, empty = serve(File(CONTENT)).url(), serve(File(b"")).url()
    done = run("--server", service, url, empty)
    assert done.returncode == 0
    assert done.stderr == (
        f"urlsum: {empty}: note: The server sent an empty file (0 bytes). Is this the file you meant?\n"
    )
    assert done.stdout == f"{MD5}  {url}\nd41d8cd98f00b204e9800998ecf8427e  {empty}\n"


def test_a_list_is_verified_and_the_service_knows_what_is_expected(
    run: Run, serve: Serve, service: str, database: Path
) -> None:
    url, gone = serve(File(CONTENT)).url(), serve(answers([head("410 Gone", "Content-Length: 0")])).url()
    done = run("--server", f"{service}/", "-c", stdin=f"{MD5}  {url}\n{MD5[::-1]}  {url}\n{MD5}  {gone}\n")
    assert done.returncode == 1
    assert done.stdout == f"{url}: OK\n{url}: FAILED\n{gone}: FAILED open or read\n"
    assert done.stderr.startswith(f"urlsum: {gone}: http: ")
    assert "the server answered with status 410\n" in done.stderr
    with closing(sqlite3.connect(database)) as tasks:
        expected = tasks.execute("SELECT expected_md5 FROM tasks WHERE url = ?", [gone]).fetchall()
    assert expected == [(MD5,)]


def test_what_the_service_refuses_is_told_in_its_words(run: Run, service: str) -> None:
    done = run("--server", service, "http://169.254.169.254/latest")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("urlsum: http://169.254.169.254/latest: invalid-request: urlsum won't connect to")


def test_a_task_that_somebody_cancels_is_told(run: Run, serve: Serve) -> None:
    origin = serve(answers(ACCEPTED, answered("410 Gone", {"id": TASK, "status": "cancelled", "complete": True})))
    done = run("--server", origin.url("/"), "https://files.example/a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "urlsum: https://files.example/a: cancelled: the task was cancelled\n"


def test_the_request_says_what_is_expected_and_can_be_repeated(run: Run, serve: Serve) -> None:
    origin = serve(answers(BUSY, ACCEPTED, answered("202 Accepted", RUNNING, "Retry-After: 0"), BUSY, DONE))
    base, url = origin.url("/prefix"), "https://files.example/a"
    done = run("--server", base, "-c", stdin=f"{MD5.upper()}  {url}\n")
    assert (done.returncode, done.stdout) == (0, f"{url}: OK\n")
    assert done.stderr == f"urlsum: {base} answered with status 503; trying again in 1 s\n" * 2
    posts = [each for each in origin.requests if each.method == "POST"]
    gets = [each for each in origin.requests if each.method == "GET"]
    assert [each.path for each in posts] == ["/prefix/submit"] * 2
    assert [each.path for each in gets] == [f"/prefix/check?id={TASK}"] * 3
    first, second = (each.fields["idempotency-key"] for each in posts)
    assert re.fullmatch(r"[0-9a-f-]{36}", first)
    assert first == second


def test_retry_after_is_honoured(run: Run, serve: Serve) -> None:
    origin = serve(answers(ACCEPTED, answered("202 Accepted", RUNNING, "Retry-After: 2"), DONE))
    began = time.monotonic()
    assert run("--server", origin.url(""), "https://files.example/a").returncode == 0
    assert time.monotonic() - began > 2


def test_the_service_is_never_asked_sooner_than_it_says(run: Run, serve: Serve) -> None:
    waits = [1, 3, 2]
    asked: list[float] = []

    def script(request: Request) -> Steps:
        if request.method == "POST":
            return ACCEPTED
        asked.append(time.monotonic())
        if len(asked) > len(waits):
            return DONE
        return answered("202 Accepted", RUNNING, f"Retry-After: {waits[len(asked) - 1]}")

    assert run("--server", serve(script).url(""), "https://files.example/a").returncode == 0
    gaps = [after - before for before, after in itertools.pairwise(asked)]
    assert len(gaps) == len(waits)
    assert all(wait <= gap < wait + 1 for wait, gap in zip(waits, gaps, strict=True)), gaps


def test_everything_is_submitted_before_the_first_is_waited_for(run: Run, serve: Serve) -> None:
    def script(request: Request) -> Steps:
        return ACCEPTED if request.method == "POST" else DONE

    origin = serve(script)
    run("--server", origin.url(""), "https://files.example/a", "https://files.example/b")
    assert [each.method for each in origin.requests] == ["POST", "POST", "GET", "GET"]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (answers([head("200 OK", "Content-Type: text/html", "Content-Length: 2"), b"hi"]),
         "is not a urlsum service (status 200, text/html); check --server"),
        (answers(answered("202 Accepted", [])), "check --server"),
        (answers(ACCEPTED, answered("200 OK", {"md5": 7})), "check --server"),
        (answers([head("308 Permanent Redirect", "Location: https://x.example", "Content-Length: 0")]), "https://x.ex"),
        (answers(ACCEPTED, answered("404 Not Found", {"type": "urn:urlsum:problem:task-not-found", "detail": "none"})),
         "https://files.example/a: task-not-found: none"),
        (answers([b""]), "cannot be reached; check --server or try again later"),
    ],
)  # fmt: skip
def test_whatever_else_answers_is_named(run: Run, serve: Serve, script: Callable[[Request], Steps], line: str) -> None:
    done = run("--server", serve(script).url(""), "https://files.example/a", MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("urlsum: https://files.example/a: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_service_that_is_down_is_waited_for_once_not_for_every_file(run: Run) -> None:
    done = run("--server", "http://127.0.0.1:9", "https://a.example/", "https://b.example/", MAX_ATTEMPTS="3")
    assert done.returncode == 1
    assert done.stderr.count("trying again") == 2
    assert done.stderr.count(": service: http://127.0.0.1:9 cannot be reached; check --server") == 2


def test_an_interruption_tells_where_the_work_goes_on(start: Start, serve: Serve) -> None:
    origin = serve(lambda request: ACCEPTED if request.method == "POST" else [HANG])
    process = start("--server", origin.url(""), "https://a.example/", "https://b.example/")
    until = time.monotonic() + 20
    while len(origin.requests) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err == f"urlsum: interrupted; the service continues: {origin.url('')}/check?id={TASK} (and 1 more)\n"


def test_a_url_is_judged_before_anything_is_submitted(run: Run) -> None:
    with OriginServer(answers(ACCEPTED)) as origin:
        assert run("--server", origin.url(""), "no-url").returncode == 2
        assert origin.requests == []
