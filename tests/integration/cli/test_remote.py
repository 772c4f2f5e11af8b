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

from tests.integration.cli.conftest import ENVIRONMENT, without_summary
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
        env=ENVIRONMENT | {"RETRY_BASE_SECONDS": "0.2", "ALLOWED_NETWORKS": "127.0.0.0/8"} | own,
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
    assert without_summary(done.stderr) == (
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
    assert f"urlsum: {gone}: http: " in done.stderr
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


def test_an_api_key_is_sent_to_the_service_and_shown_to_nobody(run: Run, serve: Serve, tmp_path: Path) -> None:
    # A password for the same host, which requests would send instead.
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    origin = serve(answers(ACCEPTED, DONE))
    done = run(
        "--server", origin.url(""), "https://files.example/a", URLSUM_API_KEY="urlsum_secret", HOME=str(tmp_path)
    )
    assert done.returncode == 0
    assert [each.fields["authorization"] for each in origin.requests] == ["Bearer urlsum_secret"] * 2
    assert "urlsum_secret" not in done.stdout + done.stderr
    wrong = run("--server", origin.url(""), "https://files.example/a", URLSUM_API_KEY="se cret")
    assert (wrong.returncode, "se cret" in wrong.stderr) == (2, False)


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
    done = run("--server", serve(script).url(""), "https://files.example/a", URLSUM_MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("urlsum: https://files.example/a: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_service_that_is_down_is_waited_for_once_not_for_every_file(run: Run) -> None:
    done = run("--server", "http://127.0.0.1:9", "https://a.example/", "https://b.example/", URLSUM_MAX_ATTEMPTS="3")
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
    link = f"{origin.url('')}/check?id={TASK}"
    assert err == (
        f"urlsum: interrupted; the service continues: {link} (and 1 more); to cancel it: urlsum --cancel '{link}'\n"
    )


def test_a_url_is_judged_before_anything_is_submitted(run: Run) -> None:
    with OriginServer(answers(ACCEPTED)) as origin:
        assert run("--server", origin.url(""), "no-url").returncode == 2
        assert origin.requests == []


ANSI = "\x1b[2K\x1b[1A"
FORGED = f"{MD5}\n{MD5[::-1]}  https://files.example/forged"


@pytest.mark.parametrize(
    "md5",
    [
        FORGED,
        MD5 + "\n",
        f"{ANSI}{MD5}",
        MD5[:31],
        MD5 + "0",
        "g" * 32,
        "٣" * 32,  # digits, but none of hexadecimal
        "",
        None,
        [MD5],
    ],
)
def test_a_digest_that_is_none_never_reaches_a_list(run: Run, serve: Serve, md5: object) -> None:
    done = run(
        "--server", serve(answers(ACCEPTED, answered("200 OK", {"md5": md5}))).url(""), "https://files.example/a"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("urlsum: https://files.example/a: service: ")
    assert done.stderr.endswith("is not a urlsum service (status 200, application/json); check --server\n")
    assert done.stderr.count("\n") == 1


def test_a_digest_in_capitals_is_the_same_digest(run: Run, serve: Serve) -> None:
    url = "https://files.example/a"
    origin = serve(answers(ACCEPTED, answered("200 OK", {"md5": MD5.upper()})))
    assert run("--server", origin.url(""), "-c", stdin=f"{MD5}  {url}\n").stdout == f"{url}: OK\n"


EVIL = f"{ANSI}\r\nurlsum: all is well\u202e\x9b31m\x07"
PROBLEM = "urn:urlsum:problem:"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((answered("422 X", {"type": f"{PROBLEM}x", "detail": EVIL}),), "x"),
        ((answered("422 X", {"type": f"{PROBLEM}x", "detail": "y" * 100_000}),), "x"),
        ((answered("422 X", {"type": PROBLEM + EVIL, "detail": EVIL}),), "service"),
        ((answered("422 X", {"type": f"{PROBLEM}x\n", "detail": ""}),), "service"),
        ((answered("422 X", {"type": PROBLEM + "x" * 100, "detail": ""}),), "service"),
        ((ACCEPTED, answered("424 X", {"error": {"code": "tls", "message": EVIL}})), "tls"),
        ((ACCEPTED, answered("424 X", {"error": {"code": EVIL, "message": ""}})), "service"),
        ((ACCEPTED, answered("410 X", {"status": EVIL})), "service"),
        (([head("308 X", "Location: https://x.example/\x1b[31m\x9b31m", "Content-Length: 0")],), "service"),
        (([head("200 X", "Content-Type: \x1b[31m\x9b31m", "Content-Length: 2"), b"hi"],), "service"),
        (([head("200 X\x1b[31m", "Content-Length: 2"), b"hi"],), "service"),
        (([head("200 OK", "\x1b[31m no field", "Content-Length: 2"), b"hi"],), "service"),
        ((answered("202 X", {"id": EVIL}),), "service"),
        ((answered("202 X", {"id": "../admin?x="}),), "service"),
        ((answered("202 X", {"id": "i" * 1000}),), "service"),
        ((ACCEPTED, answered("202 X", {"progress": {"bytes": -1}})), "service"),
        ((ACCEPTED, answered("202 X", {"progress": {"bytes": 10**30}})), "service"),
        ((ACCEPTED, answered("202 X", {"progress": {"bytes": True}})), "service"),
        ((ACCEPTED, answered("202 X", {"progress": {"bytes": 1.5}})), "service"),
        ((ACCEPTED, answered("202 X", {"progress": {"bytes": 1, "total": "2"}})), "service"),
        (([head("200 OK", "Content-Length: 300000"), b"[" * 300_000],), "service"),
        (([head("200 OK", "Content-Length: 100003"), b'{"' + b"9" * 100_000 + b'"'],), "service"),
        (([head("202 OK", "Content-Length: 100007"), b'{"id":' + b"9" * 100_000 + b"}"],), "service"),
        (([head("202 OK", "Content-Length: 10"), b'{"id":"\xff"}'],), "service"),
    ],
)  # fmt: skip
def test_nothing_that_a_service_says_moves_the_cursor_or_adds_a_line(
    run: Run, serve: Serve, script: tuple[Steps, ...], code: str
) -> None:
    url = "https://files.example/a"
    done = run("--server", serve(answers(*script)).url(""), url, URLSUM_MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"urlsum: {url}: {code}: ")
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
    assert len(done.stderr) < 600


def test_the_notes_of_a_service_are_lines_of_ours(run: Run, serve: Serve) -> None:
    notes = [{"code": "web-page", "message": EVIL}] * 100
    for final_url in (EVIL, "http://[", "x" * 100_000):
        body = {"md5": MD5, "notes": notes, "final_url": final_url}
        done = run("--server", serve(answers(ACCEPTED, answered("200 OK", body))).url(""), "https://files.example/a")
        assert (done.returncode, done.stdout) == (0, f"{MD5}  https://files.example/a\n")
        lines = done.stderr.splitlines()
        assert len(lines) == 12
        assert all(line.isprintable() and line.startswith("urlsum: https://files.example/a: note: ") for line in lines)


def test_the_metadata_of_a_service_are_in_the_object(run: Run, serve: Serve) -> None:
    url = "https://files.example/a"
    body = {"md5": MD5, "content_type": "application/gzip"}
    version = {"etag": '"v1"', "last_modified": "2015-10-21T07:28:00Z", "proof": "etag"}
    early = {"last_modified": "0001-01-01T00:00:00+14:00"}
    for sent in (version, None, early, {"last_modified": "yesterday"}, {"etag": 1}, "v1"):
        done = run(
            "--server", serve(answers(ACCEPTED, answered("200 OK", body | {"version": sent}))).url(""), "--json", url
        )
        found = json.loads(done.stdout)
        expected = sent if sent is version else None
        assert found["version"] == expected
        assert (found["content_type"], found["etag"]) == ("application/gzip", expected and '"v1"')


def test_an_endless_response_is_cut_off(run: Run, serve: Serve) -> None:
    origin = serve(answers([head("202 Accepted"), *[b" " * 65_536] * 1000]))
    done = run("--server", origin.url(""), "https://files.example/a", URLSUM_MAX_ATTEMPTS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "a response of more than 1048576 bytes" in done.stderr


def test_the_link_instead_of_a_wait(run: Run, serve: Serve, service: str, database: Path) -> None:
    url = serve(File(CONTENT)).url("/no-wait")
    done = run("--no-wait", "--email", "jane@example.org", url, URLSUM_SERVER=service)
    assert (done.returncode, done.stderr) == (0, "")
    link = done.stdout.strip()
    assert link.startswith(f"{service}/check?id=")
    with closing(sqlite3.connect(database)) as tasks:
        assert tasks.execute("SELECT email FROM tasks WHERE url = ?", [url]).fetchall() == [("jane@example.org",)]
    done = run("--no-wait", "--json", url, URLSUM_SERVER=service)
    first = json.loads(done.stdout)
    assert first == {"url": url, "id": first["id"], "link": f"{service}/check?id={first['id']}"}


@pytest.mark.parametrize("by_link", [True, False])
def test_a_task_is_cancelled_by_its_link_or_id(run: Run, serve: Serve, service: str, by_link: bool) -> None:
    url = serve(answers([HANG])).url(f"/cancel-{by_link}")
    link = run("--no-wait", "--server", service, url).stdout.strip()
    arguments = [link] if by_link else [link.rpartition("=")[2], "--server", service]
    done = run("--cancel", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"urlsum: {link}: cancelled\n")
    unknown = link.rpartition("=")[0] + "=" + TASK
    done = run("--cancel", unknown)
    assert done.returncode == 1
    assert done.stderr.startswith(f"urlsum: {unknown}: task-not-found: ")


def test_an_option_of_this_machine_wins_over_the_service_of_the_environment(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    done = run("--connections", "1", url, URLSUM_SERVER="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {url}\n")
    done = run(url, URLSUM_SERVER="nonsense")
    assert done.returncode == 2
    assert "URLSUM_SERVER: expected the URL of a service" in done.stderr
