"""/unsubscribe: who may end whose email, by mail program, browser and terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import NOW, URL, stored
from tests.support.stores.memory import MemoryRecords, secret
from tests.support.web.clients import FORM, GatewayClient
from tests.support.web.page import BROWSER, Page, opened
from tests.support.web.refusals import refused
from urlsum.mail.suppression import Reason, lift, link, reason_for, recipient
from urlsum.settings import Settings

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client

ANNA = "anna@example.org"
LINK = link(secret, ANNA, "")
ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
    "multipart/form-data; boundary=b",
)


def why(backend: Backend, address: str = ANNA) -> Reason | None:
    return reason_for(backend.records, recipient(address), NOW)


@pytest.mark.parametrize(("body", "content_type"), [(ONE_CLICK, FORM), MULTIPART, (b"", FORM)])
def test_one_click_of_a_mail_program_ends_all_email_to_the_mailbox(
    client: Client, backend: Backend, body: bytes, content_type: str
) -> None:
    answer = client.request("POST", LINK, body, {"Content-Type": content_type})
    # RFC 8058, 3.1: no redirect, no cookie.
    assert (answer.status, answer.json()) == (200, {"suppressed": True})
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert why(backend) is why(backend, "Anna+x@example.org") is Reason.UNSUBSCRIBED
    assert why(backend, "berta@example.org") is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_a_scanner_that_opens_the_link_changes_nothing(
    client: Client, backend: Backend, method: str, headers: dict[str, str]
) -> None:
    for _ in range(2):
        assert client.request(method, LINK, headers=headers).status == 200
    assert why(backend) is None


def test_a_browser_gets_a_button_that_sends_what_a_mail_program_sends(client: Client, backend: Backend) -> None:
    page = opened(client, LINK)
    [form] = page.all("form")
    [field] = page.all("input")
    assert form == {"method": "post"}  # to the same address
    assert (field["name"], field["value"], field["type"]) == ("List-Unsubscribe", "One-Click", "hidden")
    assert page.all("script") == []
    done = Page(client.request("POST", LINK, ONE_CLICK, {"Content-Type": FORM, **BROWSER}))
    assert "You won't get any more emails" in done.text
    assert done.all("form") == []
    assert "You won't get any more emails" in opened(client, LINK).text
    assert why(backend) is Reason.UNSUBSCRIBED


def test_a_page_shows_no_address(client: Client) -> None:
    assert "anna" not in opened(client, LINK).text


def test_the_state_is_that_of_the_mailbox(client: Client, backend: Backend) -> None:
    assert client.request("GET", LINK).json() == {"suppressed": False}
    client.request("POST", LINK, ONE_CLICK, {"Content-Type": FORM})
    assert client.request("GET", link(secret, "ANNA+y@example.org", "")).json() == {"suppressed": True}
    assert client.request("GET", link(secret, "berta@example.org", "")).json() == {"suppressed": False}
    lift(backend.records, ANNA, NOW)
    assert client.request("GET", LINK).json() == {"suppressed": False}


@pytest.mark.parametrize(
    "target",
    [
        "/unsubscribe",
        "/unsubscribe?token=",
        "/unsubscribe?token=anna@example.org",
        f"/unsubscribe?token={recipient(ANNA).hex()}",
        LINK[:-1],
        LINK[:-1] + ("a" if LINK[-1] != "a" else "b"),
        LINK + "&token=x",
        link(lambda: b"the secret of another deployment", ANNA, ""),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_was_not_in_an_email_ends_nothing(
    client: Client, backend: Backend, target: str, method: str
) -> None:
    backend.records = records = MemoryRecords()
    refused(client.request(method, target), 404, "unknown-link", "token")
    assert records.records == {}


def test_what_mail_programs_add_to_links_is_ignored(client: Client) -> None:
    assert client.request("POST", f"{LINK}&utm_source=mail", ONE_CLICK, {"Content-Type": FORM}).status == 200


def test_a_store_that_is_down_promises_nothing(client: Client, backend: Backend) -> None:
    backend.records = records = MemoryRecords()
    records.down = True
    for method in ("GET", "POST"):
        answer = client.request(method, LINK)
        refused(answer, 503, "unavailable")
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    answer = client.request(method, LINK)
    refused(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_submission_does_not_tell_who_has_unsubscribed(client: Client, backend: Backend) -> None:
    before = client.post(f"url={URL}&email={ANNA}")
    client.request("POST", LINK, ONE_CLICK, {"Content-Type": FORM})
    after = client.post(f"url={URL}&email={ANNA}")
    assert (before.status, after.status) == (202, 202)
    assert before.json().keys() == after.json().keys()
    shown = [client.request("GET", f"/check?id={answer.json()['id']}").json() for answer in (before, after)]
    assert {**shown[0], "id": None} == {**shown[1], "id": None}
    tasks = [backend.table.get(answer.json()["id"]) for answer in (before, after)]
    assert replace(tasks[0], id="") == replace(tasks[1], id="")


def test_a_check_shows_nothing_of_the_email(client: Client, backend: Backend) -> None:
    task = stored(backend, email=ANNA)
    assert "anna" not in client.request("GET", f"/check?id={task.id}").body.decode()


@pytest.mark.parametrize("root", ["/sums", "/sums/"])
def test_behind_a_mapped_domain_the_link_of_an_email_arrives(backend: Backend, root: str) -> None:
    url = f"https://files.example.org{root}"
    backend.settings = Settings(public_url=url)
    gateway = GatewayClient(backend.app(), settings=Settings(public_url=url))
    answer = gateway.request("POST", link(secret, ANNA, url).removeprefix("https://files.example.org"))
    gateway.close()
    assert (answer.status, why(backend)) == (200, Reason.UNSUBSCRIBED)
