"""The addresses that the server listens on, and the health check of one on IPv6."""

from __future__ import annotations

import http.server
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from selfhost import health
from selfhost.listener import listen

if TYPE_CHECKING:
    from collections.abc import Iterator


def answers(listener: socket.socket, family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family) as client:
        return client.connect_ex((address, listener.getsockname()[1])) == 0


@pytest.mark.parametrize(
    ("host", "v4", "v6"),
    [("::", True, True), ("0.0.0.0", True, False), ("127.0.0.1", True, False), ("::1", False, True)],
)
def test_the_unspecified_ipv6_address_is_every_address_of_both_families(host: str, v4: bool, v6: bool) -> None:
    with listen(host, 0) as listener:
        assert answers(listener, socket.AF_INET, "127.0.0.1") is v4
        assert answers(listener, socket.AF_INET6, "::1") is v6


def test_a_kernel_without_ipv6_listens_on_every_ipv4_address(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = -1, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *arguments)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with listen("::", 0) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"
    with pytest.raises(OSError, match="not supported"):
        listen("::1", 0)


class Healthy(http.server.BaseHTTPRequestHandler):
    """Answers 200 to requests for localhost, and 403 to all others, as ALLOWED_HOSTS=localhost does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Host"] == "localhost" else 403)
        self.end_headers()
        self.wfile.write(b'{"healthy": true, "faults": [], "warnings": []}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


class OnIPv6(http.server.HTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture
def port() -> Iterator[int]:
    with OnIPv6(("::1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("written", ["{}", "'{}'", '"{}" '])
def test_a_server_on_ipv6_is_asked_under_a_host_that_is_always_allowed(
    monkeypatch: pytest.MonkeyPatch, port: int, written: str
) -> None:
    monkeypatch.setenv("PORT", written.format(port))
    assert health.server("::1").faults == []
