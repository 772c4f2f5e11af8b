"""What an origin sends never stands in the texts of urlsum: from the socket to JSON, page, email and log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from functions.check.app import router as check
from tests.integration.origin.conftest import UNHURRIED, Serve, server_context
from tests.integration.origin.conftest import serve as _serve
from tests.support.origin.origin_server import LAST_CHUNK, Request, Script, Steps, answers, chunk, head
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, MemoryRecords, secret
from tests.support.stores.tables import new_task, shared_mysql_database, sqlite_uri
from tests.support.web.clients import GatewayClient
from urlsum import wiring
from urlsum.deadline import Deadline
from urlsum.origin.guard.guard import Guard
from urlsum.origin.http11 import tls
from urlsum.origin.source import HttpSource
from urlsum.queues import encode
from urlsum.settings import parse
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Mail, Status
from urlsum.web.application import application
from urlsum.worker.delivery import handle_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.web.clients import Answer
    from urlsum.settings import Settings
    from urlsum.task import Task

pytestmark = pytest.mark.slow

serve = _serve
# Each hostile text has this word. Spaces do not survive in a URL, but dashes read as well.
WORD = "suspended"
SENTENCE = f"Dear customer, your account is {WORD}. Pay at http://evil.example"
PATH = f"/Dear-customer,-your-account-is-{WORD}.-Pay-at-evil.example"
ANSI = f"\x1b[31m{SENTENCE}\x1b[0m"


@pytest.fixture(params=["sqlite", "mysql"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlTaskTable]:
    """MySQL, too: in its strict mode a text that is too long for its column is no row at all."""
    if request.param == "sqlite":
        yield SqlTaskTable(sqlite_uri(tmp_path))
        return
    with shared_mysql_database() as uri:
        yield SqlTaskTable(uri)


class Deployment:
    """A worker and the API, on one table."""

    def __init__(self, table: SqlTaskTable, **settings: object) -> None:
        self.settings: Settings = parse(
            {"allowed_networks": "127.0.0.0/8", "max_attempts": 1, "read_timeout": 5, **settings}
        )
        self.source = HttpSource(self.settings, Guard(self.settings), tuning=UNHURRIED)
        self.table = table
        self.mailer = MemoryMailer()
        self.deps = Deps(self.settings, table, self.source, time.time, time.monotonic, mailer=self.mailer)

    def work(self, url: str) -> Task:
        now = time.time()
        task = new_task(
            url=url, email="a@b.example", mail=Mail.PENDING, created_at=now, updated_at=now, due_at=now,
            expires_at=int(now) + 1000,
        )  # fmt: skip
        self.table.add(task)
        assert handle_message(encode(task.id), self.deps, deadline=Deadline.after(20.0))
        return self.table.get(task.id)

    def api(self) -> GatewayClient:
        app = application(check)
        app.dependency_overrides[wiring.provided] = lambda: wiring.Services(
            settings=self.settings,
            table=self.table,
            records=MemoryRecords(),
            secret=secret,
            queue=self.deps.queue,
            mailer=self.mailer,
            guard=Guard(self.settings),
            source=self.source,
            clock=time.time,
        )
        return GatewayClient(app)

    def shown(self, task: Task) -> tuple[Answer, Answer, str]:
        """The JSON, the page, and subject and text of the email."""
        client = self.api()
        try:
            answer = client.request("GET", f"/check?id={task.id}")
            page = client.request("GET", f"/check?id={task.id}", headers={"Accept": "text/html"})
        finally:
            client.close()
        (letter,) = self.mailer.letters
        return answer, page, f"{letter.subject}\n{letter.body}"


def redirected(location: str) -> Script:
    """A redirect to ``location`` on the same server, which then refuses."""

    def script(request: Request) -> Steps:
        if request.path == "/file":
            return [head("302 Found", f"Location: {location}", "Content-Length: 0")]
        return [head("404 Not Found", "Content-Length: 0")]

    return script


def looping(request: Request) -> Steps:
    location = "/file" if request.path == PATH else PATH
    return [head("302 Found", f"Location: {location}", "Content-Length: 0")]


CHUNKED = head("200 OK", "Transfer-Encoding: chunked", 'ETag: "1"')
FAULTS: dict[str, Script] = {
    "reason phrase": answers([head(f"404 {ANSI}", "Content-Length: 0")]),
    "status line": answers([f"HTTP/1.1 {ANSI}\r\n\r\n".encode()]),
    "status line of 65 KB": answers([f"HTTP/1.1 {ANSI}{'!' * 65_000}\r\n\r\n".encode()]),
    "greeting": answers([f"{ANSI}\r\n\r\n".encode()]),
    "folded field": answers([f"HTTP/1.1 200 OK\r\nX-A: b\r\n Content-Length: {ANSI}\r\n\r\n".encode()]),
    "malformed field": answers([f"HTTP/1.1 200 OK\r\nContent Length: {ANSI}\r\n\r\n".encode()]),
    "NUL in a field": answers([f"HTTP/1.1 200 OK\r\nX: {ANSI}\0\r\n\r\n".encode()]),
    "length": answers([head("200 OK", f"Content-Length: {SENTENCE}")]),
    "transfer coding": answers([head("200 OK", f"Transfer-Encoding: {SENTENCE}")]),
    "content range": answers([head("206 Partial Content", f"Content-Range: {SENTENCE}", "Content-Length: 1"), b"x"]),
    "chunk header": answers([CHUNKED, f"5\r\nhello\r\n{ANSI}\r\n".encode()]),
    "chunk extension": answers([CHUNKED, f"5;a={SENTENCE}\x00\r\n".encode()]),
    "chunk footer": answers([CHUNKED, f"5\r\nhello{SENTENCE}\r\n".encode()]),
    "trailer": answers([CHUNKED, chunk(b"hello"), f"0\r\nX-Stream-Error: {SENTENCE}\r\n\r\n".encode()]),
    "name of a trailer": answers([CHUNKED, chunk(b"hello"), f"0\r\n{WORD}-error: yes\r\n\r\n".encode()]),
    "field of the head": answers([head("200 OK", "Content-Length: 1", f"X-Stream-Error: {SENTENCE}"), b"x"]),
    "location": redirected(PATH),
    "location with a scheme": redirected(f"{WORD}:pay"),
    "location with a user": redirected(f"http://{WORD}@127.0.0.1/"),
    "location with a port": redirected(f"http://127.0.0.1:{WORD}/"),
    "location with a host": redirected(f"http://-{WORD}-/"),
    "location with an IPv6 host": redirected(f"http://[{WORD}]/"),
    "location in IDNA": redirected(f"http://{WORD}-\u00df\u2024x/".encode().decode("latin-1")),
    "location with a bad host": redirected(f"http://{WORD}.invalid/"),
    "loop": looping,
}  # fmt: skip
# Faults whose text says all that an operator needs.
QUIET = {"content range", "chunk extension", "chunk footer", "loop"}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_failure_has_a_word_of_the_origin(
    serve: Serve, table: SqlTaskTable, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "urlsum")
    deployment = Deployment(table)
    task = deployment.work(serve(FAULTS[fault]).url())
    assert task.status is Status.FAILED
    assert task.error is not None
    assert len(task.error.message) <= 400
    answer, page, email = deployment.shown(task)
    assert (answer.status, page.status) == (424, 424)
    for text in (answer.body.decode(), page.body.decode(), email):
        assert WORD not in text.lower()
        assert "\x1b" not in text
    logged = [record.getMessage() for record in caplog.records]
    assert all(line.isprintable() and len(line) < 1500 for line in logged)
    if fault not in QUIET:
        assert WORD in "\n".join(logged), "an operator must be able to see what came"


def test_the_log_has_no_query_of_a_redirect(
    serve: Serve, table: SqlTaskTable, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a signature that the origin made for urlsum only."""
    caplog.set_level(logging.INFO, "urlsum")
    Deployment(table).work(serve(redirected(f"{PATH}?X-Amz-Signature=secret")).url())
    Deployment(table).work(serve(redirected("ftp://a/b?X-Amz-Signature=secret")).url())
    assert "Pay-at-evil.example?…" in caplog.text
    assert "ftp://a/b?..." in caplog.text
    assert "secret" not in caplog.text


def test_a_redirect_whose_certificate_has_another_name(serve: Serve, table: SqlTaskTable, tmp_path: Path) -> None:
    authority = trustme.CA(organization_name=SENTENCE)
    certificate = authority.issue_cert(f"{WORD}.example", common_name=SENTENCE[:60], organization_name=SENTENCE[:60])
    origin = serve(answers([]), tls=server_context(certificate))
    plain = serve(answers([head("302 Found", f"Location: {origin.url(PATH)}", "Content-Length: 0")]))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    try:
        deployment = Deployment(table, ssl_cert_file=str(tmp_path / "ca.pem"))
        task = deployment.work(plain.url())
    finally:
        tls.context.cache_clear()
    answer, page, email = deployment.shown(task)
    assert answer.json()["error"] == {
        "code": "tls",
        "message": f"{plain.url()}, after a redirect: the certificate is not valid: it was issued for other names, not"
        " for that host",
    }
    for text in (answer.body.decode(), page.body.decode(), email):
        assert WORD not in text.lower()


def test_the_facts_of_a_digest_are_data_and_no_words_of_an_email(serve: Serve, table: SqlTaskTable) -> None:
    def script(request: Request) -> Steps:
        if request.path == "/file":
            return [head("302 Found", f"Location: {PATH}", "Content-Length: 0")]
        fields = [
            f"Content-Type: text/html-{WORD}",
            f'Content-Disposition: attachment; filename="{SENTENCE}"',
            f'ETag: "{WORD}"',
        ]
        return [head(f"200 {SENTENCE}", *fields, "Transfer-Encoding: chunked"), chunk(b"<html>hello"), LAST_CHUNK]

    deployment = Deployment(table)
    task = deployment.work(serve(script).url())
    assert task.status is Status.DONE
    answer, page, email = deployment.shown(task)
    data = answer.json()
    assert (data["content_type"], data["final_url"][-20:]) == (f"text/html-{WORD}", PATH[-20:])
    assert len(data["name"]) <= 255
    assert all(WORD not in note["message"] for note in data["notes"])
    assert page.status == 200
    lines = [line for line in email.splitlines() if WORD in line]
    assert lines == [f"Type:      text/html-{WORD}"]
