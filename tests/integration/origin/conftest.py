"""An origin on loopback, and urlsum's side of it with little patience."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.support.origin.origin_server import OriginServer, Script
from urlsum.deadline import Deadline
from urlsum.origin.guard.guard import Guard
from urlsum.origin.http11 import tls
from urlsum.origin.http11.connection import Connection
from urlsum.origin.source import Download, HttpSource
from urlsum.origin.tuning import Tuning
from urlsum.settings import Settings, parse

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.origin.http11.response import ResponseHead
    from urlsum.task import Checkpoint

Serve = Callable[..., OriginServer]
# A busy machine must not make a small file one that took its time, which costs further requests.
UNHURRIED = Tuning(moment_seconds=5.0)


@dataclass
class Client:
    """Opens and reads with settings for tests; ``resolve`` gives every name the address of the scripted origins."""

    settings: Settings
    address: str = "127.0.0.1"
    tuning: Tuning = UNHURRIED

    def open(self, url: str, *, resume: Checkpoint | None = None, seconds: float = 20.0) -> Download:
        guard = Guard(self.settings, resolve=lambda host: [self.address])
        source = HttpSource(self.settings, guard, tuning=self.tuning)
        return source.open(url, deadline=Deadline.after(seconds), resume=resume)

    def fetch(self, url: str, *, resume: Checkpoint | None = None, seconds: float = 20.0) -> bytes:
        with self.open(url, resume=resume, seconds=seconds) as body:
            return read_all(body)


def read_all(body: Download) -> bytes:
    pieces = []
    while piece := body.read():
        pieces.append(bytes(piece))
    return b"".join(pieces)


def client(*, tuning: Tuning = UNHURRIED, **settings: object) -> Client:
    given: dict[str, object] = {
        "allowed_networks": "127.0.0.0/8,::1/128",
        "connect_timeout": 2.0,
        "read_timeout": 2.0,
        **settings,
    }
    return Client(parse(given), tuning=tuning)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted origin that stops with the test."""
    with ExitStack() as stack:

        def start(script: Script, **options: object) -> OriginServer:
            return stack.enter_context(OriginServer(script, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture(autouse=True)
def sound_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No request goes out on a connection whose last response was not read to its end, or which was closed.

    Such a request fails and is sent again on a new connection, so nothing but time would show it.
    """
    get, close = Connection.get, Connection.close
    used: dict[Connection, str] = {}
    unsound: list[str] = []

    def watched_get(connection: Connection, *args: Any, **kwargs: Any) -> ResponseHead:
        before, used[connection] = used.get(connection, "new"), "used"
        if before == "closed" or (before == "used" and not connection.reusable):
            unsound.append(f"{before}, {args}")
        return get(connection, *args, **kwargs)

    def watched_close(connection: Connection) -> None:
        used[connection] = "closed"
        close(connection)

    monkeypatch.setattr(Connection, "get", watched_get)
    monkeypatch.setattr(Connection, "close", watched_close)
    yield
    assert unsound == []


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Iterator[Path]:
    """The private CA as SSL_CERT_FILE names it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    yield path
    tls.context.cache_clear()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
