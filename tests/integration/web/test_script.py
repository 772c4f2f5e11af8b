"""GET /md5.js: the worker of the page of a finished task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.web.conftest import MD5, stored
from tests.integration.web.test_pages import done
from tests.support.web.clients import GatewayClient, served
from tests.support.web.page import BROWSER, opened
from urlsum.web import pages, script

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client


def test_it_comes_as_a_script_that_may_load_and_send_nothing(client: Client) -> None:
    answer = client.request("GET", f"/{script.address()}", headers={**BROWSER, "Accept": "*/*"})
    assert answer.status == 200
    assert answer.body == Path(pages.__file__).with_name("md5.js").read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    # Its address names its content.
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_page_names_the_version_that_it_wants(client: Client, backend: Backend) -> None:
    compare = opened(client, f"/check?id={done(backend)}").by_id("compare")
    assert compare["data-worker"] == f"/{script.address()}"
    assert "hidden" in compare  # until a script shows it
    assert compare["data-size"] == "734003200"


def test_under_a_prefix_the_script_is_under_it_too(backend: Backend) -> None:
    gateway = GatewayClient(backend.app(), stage="beta")
    try:
        worker = opened(gateway, f"/check?id={done(backend)}").by_id("compare")["data-worker"]
        assert worker == f"/beta/{script.address()}"
        assert gateway.raw("GET", f"/{script.PATH}", None, {})["isBase64Encoded"] is False
    finally:
        gateway.close()


def test_head_has_no_body_and_other_methods_are_refused(backend: Backend) -> None:
    with served(backend.app()) as server:
        head = server.request("HEAD", f"/{script.PATH}")
        assert (head.status, head.body, head.headers["content-type"]) == (200, b"", "text/javascript; charset=utf-8")
        assert server.request("POST", f"/{script.PATH}", b"").status == 405


def test_the_json_in_the_page_is_that_of_the_api(client: Client, backend: Backend) -> None:
    task_id = done(backend, url="http://site.com/<b>&\"'\u2026")
    page = opened(client, f"/check?id={task_id}")
    shown = page.text[page.text.index("As JSON") :]
    found = json.loads(shown[shown.index("{") : shown.rindex("}") + 1])
    assert found == client.request("GET", f"/check?id={task_id}").json()
    assert found["md5"] == MD5
    assert page.all("b") == []


def test_unfinished_tasks_have_no_comparison(client: Client, backend: Backend) -> None:
    assert not any(
        "data-worker" in attributes for _, attributes in opened(client, f"/check?id={stored(backend).id}", 202).elements
    )
