"""What is not a request of the contract, and what goes wrong on this side."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import NOW, Backend
from tests.support.stores.memory import MemoryTaskTable
from tests.support.web.clients import FORM, GatewayClient, served
from tests.support.web.page import BROWSER, Page, sent
from tests.support.web.refusals import refused
from urlsum.errors import TableUnavailable
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.web.clients import Client
    from urlsum.task import Task

URL = "http://site.com/file.txt"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/submit", "OPTIONS, POST"),
        ("HEAD", "/submit", "OPTIONS, POST"),
        ("PUT", "/submit", "OPTIONS, POST"),
        ("TRACE", "/submit", "OPTIONS, POST"),
        ("PUT", "/check", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/check", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("BREW", "/check", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_another_method_is_refused_with_the_ones_to_use(client: Client, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        refused(answer, 405, "method-not-allowed")
    assert answer.status == 405


@pytest.mark.parametrize(
    ("path", "allow"), [("/submit", "OPTIONS, POST"), ("/check", "DELETE, GET, HEAD, OPTIONS, POST")]
)
def test_options_names_the_methods(client: Client, path: str, allow: str) -> None:
    answer = client.request("OPTIONS", path)
    assert (answer.status, answer.headers["allow"], answer.body) == (204, allow, b"")


@pytest.mark.parametrize("path", ["//", "/submit//", "/check/1", "/redoc", "/favicon.ico", "//submit", "/check%2F1"])
def test_no_other_path_is_served_nor_redirected(client: Client, path: str) -> None:
    refused(client.request("GET", path), 404, "not-found")


def test_a_slash_at_the_end_does_not_count(client: Client, backend: Backend) -> None:
    answer = client.request("POST", "/submit/", f"url={URL}".encode(), {"Content-Type": FORM})
    assert answer.status == 202
    task_id = answer.json()["id"]
    assert answer.headers["location"] == f"/check?id={task_id}"
    assert client.request("GET", f"/check/?id={task_id}").json()["id"] == task_id
    assert client.request("DELETE", f"/check/?id={task_id}").status == 200
    refused(client.request("GET", "/check/"), 422, "invalid-request", "id")
    answer = client.request("GET", "/submit/")
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")
    # A page's links are relative to the path that the browser knows.
    page = Page(client.request("POST", "/submit/", b"url=ftp", {**BROWSER, "Content-Type": FORM}))
    assert page.all("form")[0]["action"] == "../submit"


def test_under_a_stage_it_does_not_count_either(backend: Backend) -> None:
    gateway = GatewayClient(backend.app(), stage="beta")
    try:
        assert gateway.request("GET", "/check/?id=0e4fac17-f367-4807-8c28-8a059a2f82ac").json()["title"] == (
            "Task not found"
        )
    finally:
        gateway.close()


def test_an_unforeseen_error_is_a_problem_that_tells_nothing_and_is_logged(
    client: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret-of-the-house")

    monkeypatch.setattr(backend.table, "add", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.post(f"url={URL}")
    detail = refused(answer, 500, "internal-error")
    assert b"secret" not in answer.body
    assert "later" in detail
    # The server logs what it was raised once the answer is out, so perhaps a moment after it is here.
    deadline = time.monotonic() + 5
    while not any(record.exc_info and "secret" in str(record.exc_info[1]) for record in caplog.records):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(params=["server", "gateway"])
def tableless(request: pytest.FixtureRequest) -> Iterator[Client]:
    backend = Backend(table := MemoryTaskTable())
    table.down = True
    if request.param == "gateway":
        gateway = GatewayClient(backend.app())
        yield gateway
        gateway.close()
    else:
        with served(backend.app()) as server:
            yield server


def test_without_a_table_both_routes_ask_to_come_back(tableless: Client, caplog: pytest.LogCaptureFixture) -> None:
    for answer in (
        tableless.post(f"url={URL}"),
        tableless.request("GET", "/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"),
    ):
        refused(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "5"
    assert [record.levelno for record in caplog.records if "TableUnavailable" in record.getMessage()] == [30, 30]


class DoubtfulTable(MemoryTaskTable):
    """Applies each write, and its reply is lost."""

    def add(self, task: Task) -> None:
        super().add(task)
        self.down = True
        raise TableUnavailable("no reply", in_doubt=True)

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        super().save(task, over=over, lease_before=lease_before)
        raise TableUnavailable("no reply", in_doubt=True)


def test_a_503_says_when_the_request_may_have_been_accepted(backend: Backend) -> None:
    backend.table = DoubtfulTable()
    with closing(GatewayClient(backend.app())) as client:
        answer = client.post(f"url={URL}")
        detail = refused(answer, 503, "outcome-unknown")
        assert "may have been accepted" in detail
        assert "second task" in detail
        assert answer.headers["retry-after"] == "5"
        backend.table.down = False
        detail = refused(client.post(f"url={URL}", Idempotency_Key="k"), 503, "outcome-unknown")
        assert "Send it again with the same Idempotency-Key" in detail
        backend.table.down = False
        [task_id, _] = backend.table.due(NOW, 10)
        detail = refused(client.request("DELETE", f"/check?id={task_id}"), 503, "outcome-unknown")
        assert "does no harm" in detail


def test_the_page_of_what_passes_loads_itself_again_until_it_is_stopped(tableless: Client) -> None:
    path = "/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"
    answer = tableless.request("GET", path, headers=BROWSER)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["refresh"] == "5; url=?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"
    stop = next(link["href"] for link in Page(answer).all("a") if "refresh=no" in (link["href"] or ""))
    still = tableless.request("GET", f"/check{stop}", headers=BROWSER)
    assert (still.status, "refresh" in still.headers) == (503, False)
    assert answer.headers["refresh"].endswith(f"url={Page(still).all('a')[-2]['href']}")
    # A form that was sent is not sent again by itself; JSON is for programs, which know how to wait.
    assert "refresh" not in sent(tableless, f"url={URL}").headers
    assert "refresh" not in tableless.request("GET", path).headers


def exchange(port: int, sent: bytes, *, then_close: bool = False) -> bytes:
    """Send ``sent`` and return whatever comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        if then_close:
            return b""
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(*headers: str) -> bytes:
    lines = ("POST /submit HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_a_huge_body_is_refused_by_its_declared_length_before_it_is_sent(backend: Backend) -> None:
    with served(backend.app()) as server:
        answer = exchange(server.port, head("Content-Length: 1000000000", "Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"urn:urlsum:problem:body-too-large" in answer


def test_a_chunked_body_is_counted(backend: Backend) -> None:
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    with served(backend.app()) as server:
        answer = exchange(server.port, head("Transfer-Encoding: chunked") + chunk * 3)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_chunked_body_that_fits_is_taken(backend: Backend) -> None:
    body = f"url={URL}".encode()
    with served(backend.app()) as server:
        answer = exchange(
            server.port, head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
    assert answer.startswith(b"HTTP/1.1 202")


def test_a_client_that_hangs_up_within_its_body_stores_nothing_and_is_no_error_of_ours(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with served(backend.app()) as server:
        exchange(server.port, head("Content-Length: 100") + b"url=" + URL.encode(), then_close=True)
        time.sleep(0.2)
        assert server.request("GET", "/check").status == 422
    assert backend.queue.sent == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_under_a_stage_both_routes_answer_and_location_stays_within_it(backend: Backend) -> None:
    gateway = GatewayClient(backend.app(), stage="beta")
    try:
        answer = gateway.post(f"url={URL}")
        assert answer.status == 202
        assert answer.headers["location"] == f"/beta/check?id={answer.json()['id']}"
        assert gateway.request("GET", f"/check?id={answer.json()['id']}").status == 202
    finally:
        gateway.close()


def test_behind_a_mapped_domain_the_path_of_public_url_is_taken_off(backend: Backend) -> None:
    gateway = GatewayClient(backend.app(), settings=Settings(public_url="https://files.example.org/urlsum/"))
    try:
        refused(gateway.request("GET", "/urlsum/check?id=1"), 404, "task-not-found", "id")
    finally:
        gateway.close()


def test_problems_reach_the_gateway_as_text(backend: Backend) -> None:
    gateway = GatewayClient(backend.app())
    try:
        raw = gateway.raw("GET", "/check")
        assert raw["isBase64Encoded"] is False
        assert raw["body"].startswith('{"type":')
        assert type(raw["statusCode"]) is int
    finally:
        gateway.close()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/submit", 422),
        ("GET", "/check", 422),
        ("GET", "/nowhere", 404),
        ("PUT", "/submit", 405),
        ("OPTIONS", "/submit", 204),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
    ],
)
@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_no_response_is_examined_for_html_by_a_browser(
    client: Client, method: str, target: str, status: int, headers: dict[str, str]
) -> None:
    answer = client.request(method, target, headers=headers)
    assert (answer.status, answer.headers["x-content-type-options"]) == (status, "nosniff")


def test_nor_is_that_of_an_error_or_an_outage(tableless: Client) -> None:
    answer = tableless.post(f"url={URL}")
    assert (answer.status, answer.headers["x-content-type-options"]) == (503, "nosniff")
