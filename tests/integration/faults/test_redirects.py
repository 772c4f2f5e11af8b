"""Redirects inside a job: a signed URL that expires is asked for anew, and what leads nowhere ends the task."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
import warnings
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.integration.origin.conftest import server_context
from tests.support.origin.faults import half, healthy
from tests.support.origin.origin_server import File, Request, Script, Steps, answers, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import FailureCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.origin.conftest import Serve
    from urlsum.task import Task

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


def code(task: Task) -> FailureCode | None:
    return task.error.code if task.error else None


def to(location: str, status: int = 302) -> Steps:
    return [head(f"{status} Elsewhere", f"Location: {location}", "Content-Length: 0")]


class Signed:
    """Redirects /file to a signed URL that serves one answer, cut half-way, and is refused from then on."""

    def __init__(self, cuts: int = 3) -> None:
        self.file = File(CONTENT)
        self.signatures = 0
        self.used: set[str] = set()
        self.cuts = cuts

    def __call__(self, request: Request) -> Steps:
        if request.path == "/file":
            self.signatures += 1
            return to(f"/storage/file?signature={self.signatures}")
        if request.path in self.used:
            return [head("403 Forbidden", "Content-Length: 0")]
        self.used.add(request.path)
        answer, right = healthy(request, self.file)
        return [answer, half(right) if len(self.used) <= self.cuts else right]


def test_a_signed_url_that_expires_half_way_is_asked_for_anew(serve: Serve) -> None:
    signed = Signed()
    origin = serve(signed)
    task = Worker().run(origin.url())
    assert (task.md5, task.restarts) == (MD5, 0)
    assert signed.signatures == 6  # two of them for the closing proof
    # What was hashed is not read again: each of the later requests goes on.
    ranged = ["range" in request.fields for request in origin.requests if "signature" in request.path]
    assert ranged == [False, *[True] * (len(ranged) - 1)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/storage/file", "storage/file", "//127.0.0.1:PORT/storage/file", "?x=1"])
def test_a_redirect_in_the_middle_of_a_job_is_followed(serve: Serve, status: int, location: str) -> None:
    file = File(CONTENT)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        if request.connection == 0:
            return [answer, half(right)]
        if request.path == "/file":
            return to(location.replace("PORT", str(origin.port)), status)
        return [answer, right]

    origin = serve(script)
    task = Worker().run(origin.url())
    assert (task.md5, task.restarts, task.slices) == (MD5, 0, 2)


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        (answers(to("/file")), 1),
        (lambda request: to(f"/{request.connection}"), 11),
        (lambda request: to("/b" if request.path == "/file" else "/file"), 2),
        (answers([head("302 Found")]), 1),
        (answers(to("http://[::1")), 1),
        (answers(to("gopher://127.0.0.1/")), 1),
        (answers(to("http://user:password@127.0.0.1/")), 1),
    ],
    ids=["itself", "without end", "circle", "no location", "no url", "another scheme", "credentials"],
)
def test_a_redirect_that_leads_nowhere_ends_the_task_at_once(serve: Serve, script: Script, connections: int) -> None:
    origin = serve(script)
    task = Worker().run(origin.url())
    assert (code(task), task.slices) == (FailureCode.REDIRECTS, 1)
    assert origin.connections == connections


OTHER = CONTENT[::-1]


@pytest.mark.parametrize(
    ("start", "location", "right", "wrong"),
    [
        ("/s3//key/latest", "v1.bin", "/s3//key/v1.bin", "/s3/key/v1.bin"),
        ("/https://mirror/dir/latest", "../v2.bin", "/https://mirror/v2.bin", "/https:/mirror/v2.bin"),
        ("/a/latest", "?", "/a/latest?", "/a/latest"),
        ("/a/latest", "/b/../v3.bin", "/v3.bin", "/b/../v3.bin"),
        ("/a/latest", "/b/%2e%2e/v3.bin", "/v3.bin", "/b/%2e%2e/v3.bin"),
        ("/a/latest", "/caf\xe9.zip", "/caf%E9.zip", "/caf%C3%A9.zip"),
        ("/a/latest", "b c?d e", "/a/b%20c?d%20e", "/a/b%20c?d+e"),
    ],
)
def test_the_digest_is_that_of_the_file_that_the_location_names(
    serve: Serve, start: str, location: str, right: str, wrong: str
) -> None:
    files = {right: File(CONTENT), wrong: File(OTHER)}

    def script(request: Request) -> Steps:
        # By its path and not as the first one: a busy machine may have to ask again.
        return to(location) if request.path == start else files[request.path](request)

    task = Worker().run(serve(script).url(start))
    assert (task.md5, code(task)) == (MD5, None)


def test_the_task_keeps_the_url_as_submitted(serve: Serve) -> None:
    origin = serve(File(CONTENT))
    url = origin.url("/a/../file#part")
    task = Worker().run(url)
    assert (task.url, task.md5) == (url, MD5)
    assert {request.path for request in origin.requests} == {"/file"}


def test_a_redirect_that_leads_inside_in_the_middle_of_a_job_is_blocked(serve: Serve) -> None:
    file = File(CONTENT)

    def script(request: Request) -> Steps:
        answer, right = healthy(request, file)
        return to("http://10.0.0.1/") if request.connection else [answer, half(right)]

    task = Worker().run(serve(script).url())
    assert (code(task), task.md5) == (FailureCode.BLOCKED, None)


def test_https_to_http_ends_the_task(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    plain = serve(File(CONTENT))
    origin = serve(answers(to(plain.url())), tls=server_context(authority.issue_cert("127.0.0.1")))
    task = Worker(patient(ssl_cert_file=ca_file)).run(origin.url())
    assert (code(task), plain.connections) == (FailureCode.REDIRECTS, 0)


def bad_context(fault: str, authority: trustme.CA) -> ssl.SSLContext:
    """A server that no careful client speaks to."""
    match fault:
        case "expired":
            yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
            return server_context(authority.issue_cert("127.0.0.1", not_after=yesterday))
        case "self-signed":
            return server_context(trustme.CA().issue_cert("127.0.0.1"))
        case "wrong name":
            return server_context(authority.issue_cert("127.0.0.2"))
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.parametrize("fault", ["expired", "self-signed", "wrong name", "TLS 1.1"])
@pytest.mark.parametrize("way", ["at the start", "by redirect", "after a checkpoint"])
def test_tls_that_proves_nothing_ends_the_task(
    serve: Serve, authority: trustme.CA, ca_file: Path, fault: str, way: str
) -> None:
    bad = serve(File(CONTENT), tls=bad_context(fault, authority))
    file = File(CONTENT)

    def moved(request: Request) -> Steps:
        answer, right = healthy(request, file)
        return [answer, half(right)] if way == "after a checkpoint" and request.connection == 0 else to(bad.url())

    url = bad.url() if way == "at the start" else serve(moved).url()
    task = Worker(patient(ssl_cert_file=ca_file)).run(url)
    assert (code(task), task.md5) == (FailureCode.TLS, None)
    assert bad.requests == []
    # Once more, as one broken machine behind a balancer looks the same; not as often as what passes by itself.
    # A version of TLS is the same on every try.
    tries = 1 if fault == "TLS 1.1" else 2
    # After a checkpoint the range is redirected there, and then the whole file.
    assert bad.connections == tries * (2 if way == "after a checkpoint" else 1)
