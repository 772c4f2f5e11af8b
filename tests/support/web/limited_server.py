"""The self-hosted HTTP server in a thread, with limits that a test sets, and raw requests to it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from selfhost.connections import Connections
from selfhost.http_protocol import Times
from selfhost.http_server import HttpServer
from selfhost.listener import listen
from tests.support.processes.selfhosted import wait_until
from tests.support.web.clients import FORM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

UNKNOWN = "/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac"
# Short enough for a test, long enough for a loaded machine to send a request.
SHORT = Times(request=1.0, response=1.0, linger=0.5)
PATIENCE = 10.0


class Running:
    """A server in a thread, and its connections."""

    def __init__(self, app: ASGIApp, connections: Connections, times: Times) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        self.connections = connections
        self.server = HttpServer(app, connections, times)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.sendall(sent)
        return connection

    def exchange(self, sent: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect(sent) as connection:
            return received(connection)

    def has(self, count: int) -> None:
        wait_until(lambda: len(self.connections) == count, PATIENCE, lambda: len(self.connections))


@contextmanager
def running(
    app: ASGIApp, *, most: int = 100, times: Times = SHORT, connections: Connections | None = None
) -> Iterator[Running]:
    made = Running(app, Connections(most, 0) if connections is None else connections, times)
    made.thread.start()
    try:
        wait_until(lambda: made.server.started, PATIENCE, lambda: "not started")
        yield made
    finally:
        made.server.should_exit = True
        made.thread.join(PATIENCE)
        made.listener.close()
        assert not made.thread.is_alive()


def received(connection: socket.socket) -> bytes:
    with suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def post(*fields: str, body: bytes = b"") -> bytes:
    lines = ("POST /submit HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", *fields)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
