"""/docs and /openapi.json: the description of the API, from the service alone, on AWS too."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from scripts import openapi

if TYPE_CHECKING:
    from tests.support.web.clients import Client

MOST_BYTES = 30 * 1024


class _Page(HTMLParser):
    """Collects the ids of a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if tag == "a" else []
        self.loads += [value for name, value in named.items() if name in ("src", "srcset")]
        self.loads += [named["href"]] if tag == "link" else []


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_the_page_describes_every_operation_and_loads_nothing(client: Client, accept: str) -> None:
    answer = client.request("GET", "/docs", headers={"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(answer.body) <= MOST_BYTES
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    text = answer.body.decode()
    page = _Page(text)
    assert all(each.startswith("data:") for each in page.loads)
    document = json.loads(openapi.DOCUMENT.read_bytes())
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert {each["operationId"] for each in operations} <= set(page.ids)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code> {operation['summary']}" in text
            assert all(f"<code>{each['name']}</code>" in text for each in operation.get("parameters", []))
    for link in page.links:
        assert link in ("/", "/openapi.json") or link.removeprefix("#") in page.ids
    assert not re.search(r"`|\{\{|&lt;code", text)


def test_the_page_and_the_way_to_use_it_lead_there(client: Client) -> None:
    about = client.request("GET", "/").json()
    assert about["docs"].endswith("/docs")
    page = _Page(client.request("GET", "/", headers={"Accept": "text/html"}).body.decode())
    assert "/docs" in page.links


def test_both_may_be_cached_for_an_hour(client: Client) -> None:
    for path in ("/docs", "/openapi.json"):
        assert client.request("GET", path).headers["cache-control"] == "max-age=3600"
        assert client.request("HEAD", path).status == 200
        assert client.request("POST", path, b"").status == 405


def test_the_description_is_the_committed_one(client: Client) -> None:
    answer = client.request("GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == openapi.DOCUMENT.read_bytes()
