"""DNS rebinding against a local server: which Host the self-hosted server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfhost.hosts import OwnHosts, host_of, own_hosts
from tests.support.processes.selfhosted import ONE_WORKER, SelfHosted
from tests.support.web.clients import ServerClient, served
from tests.support.web.page import BROWSER, Page
from tests.support.web.refusals import refused
from urlsum import settings
from urlsum.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.web.conftest import Backend

LOOPBACK = ["localhost", "localhost:5000", "LOCALHOST.", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "[::1]"]
FOREIGN = [
    "evil.example",
    "evil.example:5000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "192.0.2.1:5000",
    "0.0.0.0:5000",
    "[::]:5000",
    "[::1",
    "",
    "notsums.example.org",
]
NAMED = {
    "public_url": "https://Sums.example.org/urlsum",
    "allowed_hosts": "urlsum.lan, .example.net, 10.0.0.0/8, fd00::/8",
}
ALLOWED = [
    "sums.example.org",
    "sums.example.org:8443",
    "urlsum.lan",
    "example.net",
    "a.b.example.net:1",
    "10.1.2.3",
    "[fd00::1]:5000",
]


def judged(host: str, bound_to: str = "127.0.0.1", **named: str) -> bool:
    is_own = own_hosts(settings.parse(named), bound_to)
    return is_own is None or is_own(host_of(host))


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("bound_to", ["127.0.0.1", "::1", "127.0.0.2", "0.0.0.0", "192.0.2.1"])
def test_loopback_is_always_the_servers_own(host: str, bound_to: str) -> None:
    assert judged(host, bound_to)
    assert judged(host, bound_to, **NAMED)


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_not(host: str) -> None:
    assert not judged(host)
    assert not judged(host, "::1")
    assert not judged(host, **NAMED)
    assert not judged(host, "0.0.0.0", **NAMED)


@pytest.mark.parametrize("host", ALLOWED)
def test_what_the_settings_name_is_allowed(host: str) -> None:
    assert judged(host, **NAMED)
    assert not judged(host)


@pytest.mark.parametrize("bound_to", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_server_on_a_network_accepts_every_name_unless_some_are_set(bound_to: str) -> None:
    assert judged("evil.example", bound_to, public_url="https://sums.example.org")
    assert not judged("evil.example", bound_to, allowed_hosts="localhost")


def test_a_foreign_host_gets_a_problem_and_nothing_else(backend: Backend) -> None:
    is_own = own_hosts(Settings(), "127.0.0.1")
    assert is_own is not None
    with served(OwnHosts(backend.app(), is_own)) as server:
        for target in ("/", "/check?id=1", "/docs", "/openapi.json", "/nowhere"):
            answer = server.request("GET", target, headers={"Host": "evil.example"})
            assert "ALLOWED_HOSTS" in refused(answer, 403, "foreign-host", "Host")
            assert answer.headers["x-content-type-options"] == "nosniff"
        refused(server.post("url=http://site.com/", Host="evil.example"), 403, "foreign-host", "Host")
        page = Page(server.request("GET", "/", headers={"Host": "evil.example", **BROWSER}))
        assert "does not answer for the host name" in page.text
        assert server.request("GET", "/").status == 200
    assert backend.queue.sent == []


@pytest.mark.slow
def test_the_server_of_make_run_refuses_them(tmp_path: Path) -> None:
    with SelfHosted(tmp_path, **ONE_WORKER, PUBLIC_URL="https://sums.example.org") as server:
        client = ServerClient(server.port)
        refused(client.request("GET", "/", headers={"Host": "evil.example:5000"}), 403, "foreign-host", "Host")
        for host in ("localhost", "127.0.0.1:1", "sums.example.org"):
            assert client.request("GET", "/", headers={"Host": host}).status == 200
