"""A TCP relay in front of a store, which loses replies or holds requests back."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


class TcpRelay:
    """Passes bytes between clients and the server at ``upstream``.

    ``lose_replies`` is for the connections that are open: what the server sends is dropped. With ``hold_requests``,
    what their clients send is kept until ``deliver``.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._refuses = False
        self._lock = threading.Lock()
        self._open: list[_Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_replies(self, *, hold_requests: bool = False) -> None:
        with self._lock:
            for pair in self._open:
                pair.loses = True
                pair.holds = hold_requests

    def deliver(self) -> None:
        """Let the server have what was held back."""
        with self._lock:
            for pair in self._open:
                pair.deliver()

    def refuse(self) -> None:
        """Break all connections, and each new one at once."""
        self._refuses = True
        with self._lock:
            for pair in self._open:
                pair.close()

    def accept(self) -> None:
        """Pass new connections on again."""
        self._refuses = False

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends accept()
        self._listener.close()
        with self._lock:
            for pair in self._open:
                pair.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refuses:
                    client.close()
                    continue
                pair = _Pair(client, socket.create_connection(self._upstream))
                with self._lock:
                    self._open.append(pair)
                pair.start()


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._held = b""
        self.loses = False
        self.holds = False

    def start(self) -> None:
        threading.Thread(target=self._requests, daemon=True).start()
        threading.Thread(target=self._replies, daemon=True).start()

    def deliver(self) -> None:
        self.holds = False
        with suppress(OSError):
            self._server.sendall(self._held)

    def close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # which ends recv() in the threads
            end.close()

    def _requests(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(65_536):
                if self.holds:
                    self._held += data
                else:
                    self._server.sendall(data)

    def _replies(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(65_536):
                if not self.loses:
                    self._client.sendall(data)


@contextmanager
def relayed(upstream: tuple[str, int]) -> Iterator[TcpRelay]:
    """Yield a relay to the server at ``upstream``."""
    relay = TcpRelay(upstream)
    try:
        yield relay
    finally:
        relay.close()
