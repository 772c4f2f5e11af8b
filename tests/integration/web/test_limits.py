"""Limits and API keys, as a client meets them."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import URL, Backend
from tests.support.stores.memory import MemoryTaskTable
from tests.support.web.clients import GatewayClient, served
from tests.support.web.page import Page, opened, sent
from urlsum import api_keys
from urlsum.api_keys import ApiKeys
from urlsum.limits.recipients import digest
from urlsum.settings import Settings, parse
from urlsum.web import trail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.web.clients import Answer
    from urlsum.task import Task

BODY = f"url={URL}"
TOKEN, LAB = api_keys.make("lab", ("minute=1",))


@pytest.fixture
def backend() -> Backend:
    trail._refused.clear()
    return Backend(MemoryTaskTable(), settings=Settings(client_submits_per_minute=2))


@pytest.fixture
def gateway(backend: Backend) -> Iterator[GatewayClient]:
    client = GatewayClient(backend.app())
    yield client
    client.close()


def tasks(backend: Backend) -> list[Task]:
    assert isinstance(backend.table, MemoryTaskTable)
    return list(backend.table.tasks.values())


def limited(answer: Answer, limit: str) -> str:
    assert answer.status == 429, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "limit"}
    assert (problem["type"], problem["limit"]) == ("urn:urlsum:problem:limit-reached", limit)
    return str(problem["detail"])


def test_what_is_accepted_says_what_is_left_and_what_is_refused_when_to_come_back(
    gateway: GatewayClient, backend: Backend
) -> None:
    accepted = gateway.post(BODY)
    assert accepted.status == 202
    assert accepted.headers["ratelimit-policy"] == (
        '"minute";q=2;w=60, "day";q=1000;w=86400, "unfinished";q=100;qu="concurrent-requests",'
        ' "bytes";q=1099511627776;qu="content-bytes";w=86400'
    )
    assert accepted.headers["ratelimit"] == (
        '"minute";r=1;t=60, "day";r=999;t=86400, "unfinished";r=99, "bytes";r=1099511627776;t=86400'
    )
    backend.clock.now += 18
    assert gateway.post(BODY).status == 202
    refused = gateway.post(BODY)
    assert limited(refused, "minute") == (
        "You may submit 2 URLs a minute, and this limit is reached. Submit this URL again in 42 seconds."
    )
    assert refused.headers["retry-after"] == "42"
    assert refused.headers["ratelimit-policy"] == '"minute";q=2;w=60'
    assert refused.headers["ratelimit"] == '"minute";r=0;t=42'
    assert len(backend.queue.sent) == 2
    backend.clock.now += 42
    assert gateway.post(BODY).status == 202


def test_a_client_on_the_same_machine_has_no_limits(backend: Backend) -> None:
    with served(backend.app()) as server:
        answers = [server.post(BODY) for _ in range(5)]
    assert {answer.status for answer in answers} == {202}
    assert not any("ratelimit" in answer.headers for answer in answers)


def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(backend: Backend) -> None:
    backend.settings = parse({"client_submits_per_minute": 2, "trusted_proxies": "127.0.0.0/8"})
    with served(backend.app()) as server:
        for client in ("198.51.100.7", "198.51.100.8", "2001:db8::1"):
            statuses = [server.post(BODY, X_Forwarded_For=f"203.0.113.1, {client}").status for _ in range(3)]
            assert statuses == [202, 202, 429]
        assert server.post(BODY, X_Forwarded_For="2001:db8::2").status == 429


def test_on_aws_a_header_changes_nothing(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = parse({"client_submits_per_minute": 2, "trusted_proxies": "0.0.0.0/0,::/0"})
    statuses = [gateway.post(BODY, X_Forwarded_For=f"198.51.100.{number}").status for number in range(3)]
    assert statuses == [202, 202, 429]
    assert {task.client for task in tasks(backend)} == {"203.0.113.9"}
    assert {task.network for task in tasks(backend)} == {"203.0.113.0/24"}


def test_a_check_costs_nothing(gateway: GatewayClient) -> None:
    location = gateway.post(BODY).headers["location"]
    assert {gateway.request("GET", location).status for _ in range(5)} == {202}


def test_a_request_that_was_wrong_costs_nothing(gateway: GatewayClient) -> None:
    assert {gateway.post("url=nowhere").status for _ in range(5)} == {422}
    assert gateway.post(BODY).status == 202


def test_a_cancelled_task_is_no_longer_unfinished(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(client_unfinished=1)
    location = gateway.post(BODY).headers["location"]
    assert "when one of your tasks has ended" in limited(gateway.post(BODY), "unfinished")
    assert gateway.request("DELETE", location).status == 200
    # A second request to cancel it gives nothing back.
    assert gateway.request("DELETE", location).status == 200
    assert gateway.post(BODY).status == 202
    limited(gateway.post(BODY), "unfinished")


def test_a_task_that_the_queue_refused_is_not_unfinished(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(client_unfinished=1)
    backend.queue.down = True
    assert gateway.post(BODY).status == 503
    backend.queue.down = False
    assert gateway.post(BODY).status == 202


def test_a_repeated_request_is_one_unfinished_task(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(client_unfinished=2)
    first, second = (gateway.post(BODY, Idempotency_Key="k") for _ in range(2))
    assert first.json() == second.json()
    assert gateway.post("url=http://other.org/", Idempotency_Key="k").status == 422
    assert gateway.post(BODY).status == 202
    limited(gateway.post(BODY), "unfinished")


def test_fresh_readings_are_asked_for_by_a_field_and_counted(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(client_fresh_per_day=1)
    accepted = gateway.post(json.dumps({"url": URL, "fresh": "true"}), "application/json")
    assert '"fresh";r=0;t=86400' in accepted.headers["ratelimit"]
    assert backend.table.get(accepted.json()["id"]).fresh
    assert "without it, or in 24 hours" in limited(gateway.post(f"{BODY}&fresh=true"), "fresh")
    for value in ("", "false"):
        accepted = gateway.post(f"{BODY}&fresh={value}")
        assert "fresh" not in accepted.headers["ratelimit"]
        assert not backend.table.get(accepted.json()["id"]).fresh
    for value in ("yes", "True", "1"):
        answer = gateway.post(f"{BODY}&fresh={value}")
        assert (answer.status, answer.json()["field"]) == (422, "fresh")


def test_a_full_service_refuses_strangers_and_says_so(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(max_unfinished=1)
    assert gateway.post(BODY).status == 202
    answer = gateway.post(BODY)
    assert (answer.status, answer.json()["type"]) == (503, "urn:urlsum:problem:overloaded")
    assert answer.headers["retry-after"] == "60"
    with served(backend.app()) as server:
        assert server.post(BODY).status == 202


def test_the_page_of_a_refusal_keeps_what_was_typed(gateway: GatewayClient) -> None:
    for _ in range(2):
        answer = sent(gateway, BODY)
        assert answer.status == 303
        assert "ratelimit" not in answer.headers
    answer = sent(gateway, f"{BODY}&fresh=true")
    page = Page(answer)
    assert (answer.status, answer.headers["retry-after"]) == (429, "60")
    assert "You may submit 2 URLs a minute" in page.text
    assert page.field("url")["value"] == URL
    assert "checked" in page.field("fresh")


def test_a_key_has_limits_of_its_own(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(client_submits_per_minute=2, api_keys=ApiKeys([LAB]))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert gateway.post(BODY, **bearer).status == 202
    assert "1 URLs a minute" in limited(gateway.post(BODY, **bearer), "minute")
    assert {task.client for task in tasks(backend)} == {"key:lab"}
    assert gateway.post(BODY).status == 202
    unknown = gateway.post(BODY, Authorization="Bearer nonsense")
    assert (unknown.status, unknown.json()["type"]) == (401, "urn:urlsum:problem:api-key-refused")
    assert unknown.headers["www-authenticate"] == 'Bearer realm="urlsum", error="invalid_token"'


def test_a_service_may_require_a_key_to_submit_and_none_to_check(gateway: GatewayClient, backend: Backend) -> None:
    backend.settings = Settings(api_keys=ApiKeys([LAB]), require_api_key=True)
    answer = gateway.post(BODY)
    assert (answer.status, answer.json()["field"]) == (401, "key")
    assert answer.headers["www-authenticate"] == 'Bearer realm="urlsum"'
    location = gateway.post(BODY, Authorization=f"Bearer {TOKEN}").headers["location"]
    assert gateway.request("GET", location).status == 202
    assert gateway.request("DELETE", location).status == 200


def test_the_form_asks_for_the_key_where_one_is_required_and_never_shows_it(
    gateway: GatewayClient, backend: Backend
) -> None:
    assert all(field["name"] != "key" for field in opened(gateway, "/").all("input"))
    backend.settings = Settings(api_keys=ApiKeys([LAB]), require_api_key=True)
    field = opened(gateway, "/").field("key")
    assert (field["type"], field["value"], "required" in field) == ("password", "", True)
    answer = sent(gateway, f"{BODY}&key=wrong")
    page = Page(answer)
    assert answer.status == 401
    assert b"wrong" not in answer.body
    assert "aria-invalid" in page.field("key")
    assert page.field("url")["value"] == URL
    assert sent(gateway, f"{BODY}&key={TOKEN}").status == 303
    again = sent(gateway, f"url=nowhere&key={TOKEN}")
    assert (again.status, TOKEN.encode() in again.body) == (422, False)
    assert Page(again).field("key")["value"] == ""


@pytest.mark.usefixtures("_logged")
def test_the_log_leads_from_a_task_to_its_client_and_keeps_no_secrets(
    gateway: GatewayClient, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.settings = Settings(api_keys=ApiKeys([LAB]))
    secret = "url=https://files.example.org/private/a.bam%3FX-Amz-Signature=s3cret&email=Some.One%2Bx@example.org"
    task_id = gateway.post(secret, Authorization=f"Bearer {TOKEN}").json()["id"]
    limited(gateway.post(secret, Authorization=f"Bearer {TOKEN}"), "minute")
    gateway.post(BODY)
    gateway.post(BODY, Authorization="Bearer nonsense")
    lines = [record.getMessage() for record in caplog.records if record.name == "urlsum.web.trail"]
    person = digest("some.one@example.org")
    assert lines == [
        f"accepted task={task_id} client=203.0.113.9 key=lab host=files.example.org recipient={person}",
        "refused limit=minute client=203.0.113.9 key=lab times=1",
        f"accepted task={tasks(backend)[-1].id} client=203.0.113.9 key=- host=site.com recipient=-",
        "refused limit=api-key client=203.0.113.9 key=- times=1",
    ]
    assert not any(word in caplog.text.lower() for word in ("s3cret", "private", "some.one", "nonsense", TOKEN.lower()))


@pytest.mark.usefixtures("_logged")
def test_a_flood_of_requests_is_no_flood_of_lines(gateway: GatewayClient, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2 + 120):
        gateway.post(BODY)
    refusals = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refused")]
    assert [line.rpartition("=")[2] for line in refusals] == ["1", "10", "100"]


@pytest.fixture
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "urlsum"):
        yield
