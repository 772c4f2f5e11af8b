"""ALLOWED_ORIGINS: which pages of other sites may call the API (CORS)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import URL, stored
from tests.support.web.clients import FORM, GatewayClient, served
from urlsum.errors import SettingsError
from urlsum.settings import Settings, parse
from urlsum.web.cross_site import allow_origins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client

LAB, OTHER = "https://lab.example.org", "https://evil.example.org"
OPEN = Settings(allowed_origins=parse({"allowed_origins": LAB}).allowed_origins)
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, authorization, idempotency-key",
}


@pytest.fixture(params=["server", "gateway"])
def client(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Client]:
    backend = replace(backend, settings=OPEN)
    if request.param == "gateway":
        gateway = GatewayClient(backend.app(), settings=OPEN)
        yield gateway
        gateway.close()
    else:
        with served(allow_origins(backend.app(), OPEN)) as server:
            yield server


def submit(client: Client, origin: str) -> int:
    headers = {"Content-Type": FORM, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = client.request("POST", "/submit", f"url={URL}".encode(), headers)
    allowed = answer.headers.get("access-control-allow-origin")
    assert (allowed == origin) == (origin == LAB), allowed
    return answer.status


def test_a_page_of_an_allowed_origin_may_submit_and_read_the_response(client: Client) -> None:
    assert submit(client, LAB) == 202


@pytest.mark.parametrize("origin", [OTHER, f"{LAB}:8443", "http://lab.example.org", f"{LAB}.evil.example"])
def test_a_page_of_another_origin_may_not(client: Client, origin: str) -> None:
    assert submit(client, origin) == 403


def test_a_browser_may_ask_beforehand(client: Client) -> None:
    allowed = client.request("OPTIONS", "/submit", headers={"Origin": LAB, **PREFLIGHT})
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, LAB)
    refused = client.request("OPTIONS", "/submit", headers={"Origin": OTHER, **PREFLIGHT})
    assert refused.status == 400
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_may_read_the_progress_and_cancel(client: Client, backend: Backend) -> None:
    target = f"/check?id={stored(backend).id}"
    for method, status in (("GET", 202), ("DELETE", 200)):
        answer = client.request(method, target, headers={"Origin": LAB, "Sec-Fetch-Site": "cross-site"})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, LAB)
        assert "Retry-After" in answer.headers["access-control-expose-headers"]


def test_by_default_no_other_site_may(backend: Backend) -> None:
    app = backend.app()
    assert allow_origins(app, Settings()) is app
    with served(app) as server:
        answer = server.request("GET", "/", headers={"Origin": LAB})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("value", ["lab.example.org", "https://lab.example.org/", "*", "null", "https://a b"])
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^ALLOWED_ORIGINS: .* is no origin"):
        parse({"allowed_origins": value})
