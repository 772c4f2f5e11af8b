"""Messages between the command and its processes: lists in JSON, a line each, over a pair of sockets."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

# Hundreds of results: more than arrive between two looks.
RECEIVE_BYTES = 65_536


class Channel:
    """One end. Any thread may send; one receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._rest = b""

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._sock.fileno()

    def send(self, *message: object) -> None:
        """Send ``message``. Raises OSError if the other end is gone."""
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._sock.sendall(data)

    def receive(self) -> list[Any] | None:
        """The messages that have come, after a wait for some bytes; None once the other end is gone."""
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except ConnectionError:  # it was killed before it had read all
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end: the other one receives None."""
        self._sock.close()
