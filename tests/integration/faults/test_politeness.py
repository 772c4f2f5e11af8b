"""What an origin may expect of urlsum: to know who asks, to be left alone when it says so, and to be read once."""

from __future__ import annotations

import hashlib
import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.faults import half, healthy
from tests.support.origin.origin_server import File, Request, Steps, answers, head
from tests.support.origin.task_runner import Worker, patient
from urlsum import __version__
from urlsum.errors import FailureCode
from urlsum.worker.retry import LONGEST_RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.origin.conftest import Serve

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 6.9, 7.0),
        ("0", 0.0, 1.0),
        ("9999999999", LONGEST_RETRY_AFTER_SECONDS - 1, LONGEST_RETRY_AFTER_SECONDS),
        ("9" * 4000, 0.0, 1.0),
        ("-5", 0.0, 1.0),
        ("soon", 0.0, 1.0),
        ("date", 58.0, 60.0),
        ("past date", 0.0, 1.0),
    ],
)
def test_who_says_when_is_left_alone_until_then(serve: Serve, status: int, value: str, low: float, high: float) -> None:
    now = time.time()
    stated = {"date": formatdate(now + 60, usegmt=True), "past date": formatdate(now - 60, usegmt=True)}.get(
        value, value
    )
    busy: Steps = [head(f"{status} Later", f"Retry-After: {stated}", "Content-Length: 0")]
    file = File(CONTENT)
    origin = serve(lambda request: file(request) if request.connection else busy)
    worker = Worker(patient(retry_base_seconds=1.0))
    started = time.monotonic()
    assert worker.run(origin.url()).md5 == MD5
    # No worker is held while the origin is left alone: the message is what waits.
    assert time.monotonic() - started < 5
    [delay] = worker.delays
    assert low <= delay <= high


def test_who_is_busy_half_way_is_left_alone_too(serve: Serve) -> None:
    file = File(CONTENT)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        if request.connection == 0:
            return [answer, half(right)]
        busy = head("503 Busy", "Retry-After: 300", "Content-Length: 0")
        # The range first, then the whole file: who is busy says so to both.
        return [busy] if request.connection in (1, 2) else [answer, right]

    worker = Worker()
    task = worker.run(serve(script).url())
    assert (task.md5, task.restarts) == (MD5, 0)
    assert 299 < worker.delays[1] <= 300


def test_failures_of_the_server_are_met_with_longer_and_longer_waits(serve: Serve) -> None:
    origin = serve(answers([head("500 Oops", "Content-Length: 0")]))
    worker = Worker(patient(retry_base_seconds=1.0, max_attempts=5))
    task = worker.run(origin.url())
    assert task.error is not None
    assert (task.error.code, origin.connections) == (FailureCode.HTTP, 5)
    for tries, delay in enumerate(worker.delays):
        assert 0.5 * 2**tries - 0.2 <= delay <= 2**tries


def test_tasks_that_failed_together_do_not_come_back_together(serve: Serve) -> None:
    origin = serve(answers([head("500 Oops", "Content-Length: 0")]))
    first, second = Worker(patient(retry_base_seconds=100.0)), Worker(patient(retry_base_seconds=100.0))
    for worker in (first, second):
        worker.run(origin.url())
    assert abs(first.delays[0] - second.delays[0]) > 0.001


@pytest.mark.parametrize("status", [400, 401, 404, 410, 451])
def test_no_is_no(serve: Serve, status: int) -> None:
    origin = serve(answers([head(f"{status} No", "Retry-After: 1", "Content-Length: 0")]))
    task = Worker().run(origin.url())
    assert (task.status, task.slices, origin.connections) == ("failed", 1, 1)


def test_every_request_says_who_asks_and_carries_nothing_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login someone password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    tempting = (
        "Set-Cookie: a=b; Path=/",
        'Alt-Svc: h2=":1", h3=":1"; persist=1',
        "Refresh: 0; url=/elsewhere",
        "Link: </style.css>; rel=preload",
        'WWW-Authenticate: Basic realm="x"',
        "Clear-Site-Data: *",
        "Accept-CH: Sec-CH-UA",
    )
    file = File(CONTENT)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        answer = answer.replace(b"\r\n\r\n", ("\r\n" + "\r\n".join(tempting) + "\r\n\r\n").encode())
        if request.path == "/file":
            return [head("302 Found", "Location: /there", *tempting, "Content-Length: 0")]
        return [answer, half(right) if request.connection == 1 else right]

    origin = serve(script)
    task = Worker(patient(public_url="https://urlsum.example.org")).run(origin.url())
    assert task.md5 == MD5
    # Two slices, and the closing proof.
    assert [request.path for request in origin.requests] == ["/file", "/there"] * 2 + ["/there"] * 2
    for request in origin.requests:
        assert request.fields["user-agent"] == f"urlsum/{__version__} (+https://urlsum.example.org)"
        # A cookie goes back within the chain of redirects that set it, and with nothing else.
        allowed = {"host", "user-agent", "accept", "accept-encoding", "range", "if-range", "cookie"}
        assert request.fields.keys() <= allowed
        assert request.fields.get("cookie") == (None if request.path == "/file" else "a=b")


def test_a_denied_origin_is_not_contacted(serve: Serve) -> None:
    origin = serve(File(CONTENT))
    for denied in ("127.0.0.1", "127.0.0.0/8", "files.example.org", ".example.org"):
        task = Worker(patient(blocked_hosts=denied)).run(origin.url(host="files.example.org"))
        assert task.error is not None
        assert task.error.code == FailureCode.BLOCKED
    assert origin.connections == 0


@pytest.mark.parametrize("ranges", [True, False])
def test_what_is_read_for_one_task_has_an_end(serve: Serve, *, ranges: bool) -> None:
    """An origin that cuts every answer a little later costs a reading each time, if it cannot go on in the middle."""
    content = random.Random(4).randbytes(200_000)
    file, sent = File(content, ranges=ranges), [0]

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        piece = right[: min(len(right), 120_000 if ranges else 10_000 * (request.connection + 1))]
        sent[0] += len(piece)
        return [answer, piece]

    task = Worker(patient(max_bytes=len(content))).run(serve(script).url())
    assert task.received <= sent[0] <= 5 * len(content)
    if ranges:
        assert (task.status, task.error) == ("done", None)
    else:
        assert task.error is not None
        assert task.error.code == FailureCode.TOO_LARGE
        assert "4 times MAX_BYTES" in task.error.message
        assert task.received > 4 * len(content)


def test_what_was_read_is_counted_over_slices_and_restarts(serve: Serve) -> None:
    before = File(random.Random(4).randbytes(100_000))
    after = File(random.Random(5).randbytes(30_000), etag='"v2"')

    def script(request: Request) -> Steps:
        if request.connection > 1:
            return after(request)
        answer, right = healthy(request, before)
        return [answer, right[:60_000]]

    worker = Worker()
    task = worker.run(serve(script).url())
    assert (task.size, task.restarts) == (30_000, 1)
    # The first part; the tail before the checkpoint, which was all of it, and some more; then the other version, and as
    # much again for its closing proof.
    assert task.received == 60_000 + 60_000 + 30_000 + 30_000
