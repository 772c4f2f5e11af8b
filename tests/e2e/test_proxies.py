"""The examples of docs/operations.md for nginx and Caddy, as they stand there, in front of a server."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import pytest

from scripts.sam_build import ROOT
from scripts.sam_local import free_port
from tests.support.origin.web_servers import PROGRAMS, running
from tests.support.processes.selfhosted import PreloadedSelfHosted, SelfHosted, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "urlsum.example.org"
PREFIX = "/urlsum"
DOCUMENT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
# Around an example: what the packages' own configurations have, for a process that is not root.
FRAMES = {
    "nginx": """\
daemon off;
pid $folder/pid;
events { }
http {
    access_log off;
    client_body_temp_path $folder/client;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    EXAMPLE
}
""",
    "caddy": "{\n    admin off\n    auto_https off\n    grace_period 1s\n}\nEXAMPLE\n",
}
BUFFER_BEFORE_2_7, BUFFER = "buffer_requests", "request_buffers 32KB"
# What the document says to write for a service below a path, by what the proxy then does with it.
BELOW = {
    ("nginx", "passes on"): ("location / {", "location /urlsum/ {"),
    ("nginx", "strips"): (
        "location / {\n        proxy_pass http://urlsum;",
        "location /urlsum/ {\n        proxy_pass http://urlsum/;",
    ),
    ("caddy", "passes on"): ("reverse_proxy 127", "reverse_proxy /urlsum/* 127"),
    ("caddy", "strips"): ("reverse_proxy 127", "uri strip_prefix /urlsum\n    reverse_proxy 127"),
}


def configured(proxy: str, path: str | None, server: int) -> str:
    """The example, with plain HTTP on $port instead of TLS, in front of the port ``server``."""
    [text] = re.findall(rf"^```{proxy}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    if path is not None:
        old, new = BELOW[proxy, path]
        assert old in text
        for word in re.findall(
            r"location /urlsum/|proxy_pass http://urlsum/;|uri strip_prefix /urlsum|/urlsum/\*", new
        ):
            assert f"`{word}`" in DOCUMENT
        text = text.replace(old, new)
    # Without TLS, for which a test would need a certificate.
    text = re.sub(r"^ *(?:listen .*|ssl_.*)\n", "", text, flags=re.MULTILINE)
    text = text.replace(f"server_name {NAME};", f"listen 127.0.0.1:$port; server_name {NAME};")
    text = text.replace(f"{NAME} {{", f"http://{NAME}:$port {{\n    bind 127.0.0.1")
    return FRAMES[proxy].replace("EXAMPLE", text.replace("127.0.0.1:8000", f"127.0.0.1:{server}"))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfHosted]:
    """A server that is reached through a proxy, at the root of a host or below a path."""
    with PreloadedSelfHosted(
        tmp_path_factory.mktemp("server"),
        PUBLIC_URL=f"https://{NAME}{request.param}",
        TRUSTED_PROXIES="127.0.0.1/32",
        WORKER_PROCESSES="1",
    ) as running_server:
        yield running_server


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
@pytest.mark.parametrize(
    ("server", "does"), [("", None), (PREFIX, "strips"), (PREFIX, "passes on")], indirect=["server"]
)
def test_the_example_serves_pages_api_and_description_to_the_right_client(
    server: SelfHosted, proxy: str, does: str | None
) -> None:
    prefix = server.settings["PUBLIC_URL"].removeprefix(f"https://{NAME}")
    text = configured(proxy, does, server.port)
    # A header that a client sends must not reach the server.
    forged = {"Host": NAME, "X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.8"}
    with (
        running(PROGRAMS[proxy], text) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=forged) as client,
    ):
        submitted = client.post(f"{prefix}/submit", json={"url": "http://127.0.0.1:1/file"})
        assert submitted.status_code == 202, submitted.text
        assert submitted.headers["Location"] == f"{prefix}/check?id={submitted.json()['id']}"
        assert client.get(submitted.headers["Location"]).json()["id"] == submitted.json()["id"]
        document = f"https://{NAME}{prefix}/openapi.json"
        described = client.get(f"{prefix}/openapi.json").json()["servers"][0]["url"]
        assert urljoin(document, described) == f"https://{NAME}{prefix}/"
        assert f'href="{prefix}/"' in client.get(f"{prefix}/docs").text
        page = client.get(f"{prefix}/", headers={"Accept": "text/html"})
        assert f'action="{prefix}/submit"' in page.text
        too_long = client.post(f"{prefix}/submit", content=b"x" * 100_000)
        assert too_long.status_code == 413
        # What another site's page sends is refused behind the proxy, too, and this site's own is not.
        origin = {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
        assert client.post(f"{prefix}/submit", data={"url": "bad"}, headers=origin).status_code == 422
        other = {"Origin": "https://evil.example"}
        assert client.post(f"{prefix}/submit", data={"url": "bad"}, headers=other).status_code == 403
    accepted = f"accepted task={submitted.json()['id']} client=127.0.0.1 "
    wait_until(lambda: accepted in server.output, 10, lambda: server.output)
    assert "203.0.113" not in server.output


def caddy_version() -> str:
    """As ``v2.6.2``; Debian's leaves the letter out."""
    caddy = shutil.which("caddy")
    if caddy is None:
        return ""
    shown = subprocess.run([caddy, "version"], capture_output=True, text=True, check=True).stdout
    return f"v{shown.lstrip('v')}"


def test_caddy_holds_a_submission_back_while_the_server_restarts() -> None:
    port = free_port()

    def serve_once() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                received = b""
                while not received.endswith(b"url=x"):
                    received += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    text = configured("caddy", None, port)
    # Else most versions cannot repeat a body, see the document.
    buffered = BUFFER_BEFORE_2_7 if " v2.6." in f" {caddy_version()}" else BUFFER
    assert f"`{buffered}`" in DOCUMENT
    with (
        running(PROGRAMS["caddy"], text.replace("header_up", f"{buffered}\n        header_up")) as proxy,
        httpx.Client(base_url=f"http://127.0.0.1:{proxy}", headers={"Host": NAME}, timeout=30) as client,
    ):
        # Long enough for some refused connections.
        late = threading.Timer(0.6, serve_once)
        late.daemon = True
        late.start()
        assert client.post("/submit", data={"url": "x"}).status_code == 202
        late.join()
