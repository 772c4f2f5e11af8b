"""The form of ``/``: sent, refused, and shown again with what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import URL
from tests.support.web.clients import FORM
from tests.support.web.page import BROWSER, Page, opened, sent
from tests.support.web.refusals import refused

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client


def test_the_form_sends_the_fields_of_the_contract(client: Client) -> None:
    page = opened(client, "/")
    [form] = page.all("form")
    assert (form["method"], form["action"]) == ("post", "/submit")
    assert [field["name"] for field in page.all("input")] == ["url", "md5", "email"]
    assert {label["for"] for label in page.all("label")} == {field["id"] for field in page.all("input")}
    assert "required" in page.field("url")
    assert not any(field["value"] for field in page.all("input"))


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
