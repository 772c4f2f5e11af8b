"""The form of ``/``: sent, refused, and shown again with what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.integration.web.conftest import URL, stored
from tests.support.web.clients import FORM, served
from tests.support.web.page import BROWSER, Page, opened, sent
from tests.support.web.refusals import refused
from urlsum.settings import Settings

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client


def test_the_form_sends_the_fields_of_the_contract(client: Client) -> None:
    page = opened(client, "/")
    [form] = page.all("form")
    assert (form["method"], form["action"]) == ("post", "/submit")
    assert [field["name"] for field in page.all("input")] == ["url", "md5", "email", "fresh"]
    assert {label["for"] for label in page.all("label")} == {field["id"] for field in page.all("input")}
    assert "required" in page.field("url")
    assert not any(page.field(name)["value"] for name in ("url", "md5", "email"))
    assert (page.field("fresh")["value"], "checked" in page.field("fresh")) == ("true", False)


def test_the_form_lets_the_server_judge_what_people_paste(client: Client) -> None:
    page = opened(client, "/")
    # type=url and pattern would refuse www.example.org/f and md5:… before anything could be offered.
    assert page.field("url")["type"] == page.field("md5")["type"] == "text"
    assert "pattern" not in page.field("md5")


def test_the_url_that_was_meant_is_one_click_away(client: Client, backend: Backend) -> None:
    answer = sent(client, "url=ftp://ftp.example.org/f%26g&email=a@example.org&md5=%22" + "a" * 32 + "&fresh=true")
    page = Page(answer)
    [_, form] = page.all("form")
    assert (form["id"], form["method"], form["action"]) == ("suggested", "post", "./submit")
    assert [button["form"] for button in page.all("button") if "form" in button] == ["suggested"]
    hidden = {field["name"]: field["value"] for field in page.all("input") if field["type"] == "hidden"}
    meant = {"url": "https://ftp.example.org/f&g", "email": "a@example.org", "md5": '"' + "a" * 32, "fresh": "true"}
    assert hidden == meant
    assert sent(client, urlencode([(name or "", value or "") for name, value in hidden.items()])).status == 303
    [(task_id, _)] = backend.queue.sent
    task = backend.table.get(task_id)
    assert (task.url, task.email, task.expected_md5) == (meant["url"], "a@example.org", "a" * 32)


def test_an_error_without_a_suggestion_has_one_form(client: Client) -> None:
    assert len(Page(sent(client, "url=mailto:a@example.org")).all("form")) == 1


def test_a_browser_is_led_from_the_form_to_the_page_of_its_task(client: Client, backend: Backend) -> None:
    answer = sent(client, f"url={URL}&email=&md5=")
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (303, b"", "no-store")
    [(task_id, _)] = backend.queue.sent
    assert answer.headers["location"] == f"/check?id={task_id}"
    assert URL in opened(client, answer.headers["location"], 202).text


BAD = {
    "url": (FORM, b"url=ftp%3A%2F%2Fexample.org%2Ff&email=a%40example.org&md5=" + b"a" * 32, "url"),
    "blocked": (FORM, b"url=http%3A%2F%2F127.0.0.1%2F&email=a%40example.org&md5=", "url"),
    "email": (FORM, b"url=http%3A%2F%2Fa.org%2F&email=nobody&md5=", "email"),
    "md5": (FORM, b"url=http%3A%2F%2Fa.org%2F&email=&md5=abc", "md5"),
    "json": ("application/json", b'{"url": "nowhere"}', "url"),
}


@pytest.mark.parametrize(("content_type", "body", "field"), BAD.values(), ids=BAD)
def test_an_error_comes_with_the_form_next_to_its_field_and_what_was_typed_is_kept(
    client: Client, backend: Backend, content_type: str, body: bytes, field: str
) -> None:
    answer = sent(client, body, content_type)
    problem = client.post(body, content_type).json()
    page = Page(answer)
    assert (answer.status, problem["field"]) == (422, field)
    [error] = [attributes for attributes in page.all("p") if attributes.get("id") == f"{field}-error"]
    assert problem["detail"] in page.text
    assert f"{field}-error" in (page.field(field)["aria-describedby"] or "").split()
    assert [name for name in ("url", "email", "md5") if "aria-invalid" in page.field(name)] == [field]
    if content_type == FORM:
        kept = "&".join(f"{name}={page.field(name)['value']}" for name in ("url", "email", "md5"))
        assert kept == body.decode().replace("%3A", ":").replace("%2F", "/").replace("%40", "@")
    # Relative to /submit, where the browser now is: whatever the prefix of both.
    assert page.all("form")[0]["action"] == "./submit"
    assert error["class"] == "error"
    assert backend.queue.sent == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (FORM, b"url=http://a.org/&other=1", 422),
        (FORM, b"url=http://a.org/\xff", 422),
        (FORM, b"url=" + b"a" * 9000, 413),
        ("text/plain", b"url=http://a.org/", 415),
    ],
)
def test_an_error_of_no_field_stands_above_the_form(
    client: Client, content_type: str, body: bytes, status: int
) -> None:
    answer = sent(client, body, content_type)
    page = Page(answer)
    assert answer.status == status
    assert len(page.all("form")) == 1
    if b"\xff" not in body:
        assert [paragraph["class"] for paragraph in page.all("p") if paragraph.get("role") == "alert"]


@pytest.mark.parametrize(
    "url", ["http://a.org/1 http://a.org/2", "http://a.org/1\r\nhttps://a.org/2\r\n", "http://a.org/1\tHTTP://a.org/2"]
)
def test_several_urls_lead_to_what_takes_them(client: Client, backend: Backend, url: str) -> None:
    answer = client.post(urlencode({"url": url}))
    refused(answer, 422, "invalid-request", "url")
    assert "more than one URL" in answer.json()["detail"]
    assert "the command urlsum" in Page(sent(client, urlencode({"url": url}))).text
    assert backend.queue.sent == []


def test_a_url_inside_another_is_one(client: Client) -> None:
    assert client.post(urlencode({"url": "https://web.archive.org/web/2020/https://a.org/1"})).status == 202


def test_a_link_fills_the_form_and_nothing_else(client: Client, backend: Backend) -> None:
    url = 'https://a.org/"><b>?c=1&d=\u2026'
    fields = {"url": url, "md5": "a" * 32, "key": "secret", "other": "1"}
    page = opened(client, f"/?{urlencode(fields)}")
    assert (page.field("url")["value"], page.field("md5")["value"]) == (url, "a" * 32)
    assert "secret" not in page.text
    assert page.all("b") == []
    assert backend.queue.sent == []
    # Programs get what they always got.
    assert client.request("GET", f"/?{urlencode(fields)}").json() == client.request("GET", "/").json()


def test_a_link_without_fields_is_the_empty_form(client: Client) -> None:
    for target in ("/?url=&md5=", "/?other=1"):
        page = opened(client, target)
        assert [page.field(name)["value"] for name in ("url", "md5", "email")] == ["", "", ""]


def test_without_a_queue_what_was_typed_is_kept_for_the_next_try(client: Client, backend: Backend) -> None:
    backend.queue.down = True
    answer = sent(client, f"url={URL}&email=a@example.org")
    page = Page(answer)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert (page.field("url")["value"], page.field("email")["value"]) == (URL, "a@example.org")


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_a_form_on_another_site_submits_nothing(client: Client, backend: Backend, headers: dict[str, str]) -> None:
    answer = client.post(f"url={URL}", **headers, Sec_Fetch_Site="cross-site")
    assert answer.status == 403
    if headers:
        assert "another site" in Page(answer).text
    else:
        refused(answer, 403, "cross-site")
    assert backend.queue.sent == []


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_the_own_form_does(client: Client, site: str) -> None:
    assert client.post(f"url={URL}", **BROWSER, Sec_Fetch_Site=site).status == 303


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://evil.example", "Host": "sums.example.org"},
    {"Origin": "http://sums.example.org.evil.example", "Host": "sums.example.org"},
    {"Origin": "http://sums.example.org:8080", "Host": "sums.example.org"},
    {"Origin": "http://sums.example.org", "Host": "sums.example.org:8080"},
    {"Origin": "http://sums.example.org:443", "Host": "sums.example.org:80"},
    {"Origin": "https://www.example.org", "Host": "sums.example.org", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://sums.example.org", "Host": "sums.example.org", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null, https://evil.example"},
    {"Origin": "file://"},
    {"Origin": "http://[::1"},
    {"Origin": "http://localhost:x"},
    {"Origin": ""},
    {"Origin": "http://public.example.org"},  # PUBLIC_URL is https
]
OWN = [
    {"Origin": "http://sums.example.org", "Host": "sums.example.org"},
    {"Origin": "http://SUMS.example.org:80", "Host": "sums.example.org"},
    {"Origin": "https://sums.example.org", "Host": "sums.example.org:443"},
    # Behind proxies that rewrite Host.
    {"Origin": "https://public.example.org", "Host": "127.0.0.1:5000"},
    {"Origin": "https://public.example.org:443", "Host": "backend", "Sec-Fetch-Site": "same-site"},
    {"Origin": "https://elsewhere.example.org", "Host": "127.0.0.1:5000", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_origin_neither_submits_nor_cancels(
    client: Client, backend: Backend, headers: dict[str, str]
) -> None:
    backend.settings = Settings(public_url="https://public.example.org/urlsum")
    refused(client.request("POST", "/submit", f"url={URL}".encode(), headers), 403, "cross-site")
    assert backend.queue.sent == []
    task = stored(backend)
    refused(client.request("DELETE", f"/check?id={task.id}", headers=headers), 403, "cross-site")
    # A link to a result may stand anywhere.
    assert client.request("GET", f"/check?id={task.id}", headers=headers).status == 202


def test_an_origin_may_be_an_ipv6_address(backend: Backend) -> None:
    with served(backend.app()) as server:
        own, foreign = ({"Origin": f"http://[::1]:{port}", "Host": "[::1]:5000"} for port in (5000, 5001))
        assert server.request("POST", "/submit", f"url={URL}".encode(), own).status == 202
        refused(server.request("POST", "/submit", f"url={URL}".encode(), foreign), 403, "cross-site")


@pytest.mark.parametrize("headers", OWN)
def test_the_own_origin_submits_and_cancels(client: Client, backend: Backend, headers: dict[str, str]) -> None:
    backend.settings = Settings(public_url="https://public.example.org/urlsum")
    answer = client.request("POST", "/submit", f"url={URL}".encode(), headers)
    assert answer.status == 202
    assert client.request("DELETE", f"/check?id={answer.json()['id']}", headers=headers).status == 200
