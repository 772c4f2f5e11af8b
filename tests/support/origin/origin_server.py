r"""An origin that follows a script exactly, byte by byte, over loopback sockets.

A script is a function from the request (and the number of the connection) to steps: ``bytes`` are sent unchanged, the
other steps are defined below. After the last step the connection is closed, or serves the next request after ``KEEP``.
A script that is a generator decides each step after the previous one is complete.

>>> with OriginServer(lambda request: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]) as origin:
...     origin.url("/file")  # doctest: +SKIP
'http://127.0.0.1:40123/file'
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Request:
    """A request: ``fields`` by lower-case name, ``connection`` counts from 0."""

    method: str
    path: str
    fields: dict[str, str]
    raw: bytes
    connection: int


@dataclass(frozen=True)
class Pause:
    """Silence for ``seconds``, or until the server stops."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """``data`` in pieces of ``size`` bytes, one ``every`` seconds; ``sent`` is called with the length of each."""

    data: bytes | memoryview
    every: float
    size: int = 1
    sent: Callable[[int], None] = lambda length: None


@dataclass(frozen=True)
class Signal:
    """A step that sends no bytes; see the three constants."""

    name: str


RESET = Signal("reset")  # RST instead of FIN
HANG = Signal("hang")  # hold the connection open, silent, until the server stops
KEEP = Signal("keep")  # read the next request on this connection

TCP_ESTABLISHED = 1  # linux/net/tcp_states.h

Step = bytes | memoryview | Pause | Trickle | Signal
Steps = Sequence[Step]
Script = Callable[[Request], Iterable[Step]]


def answers(*scripted: Steps) -> Script:
    """The n-th list of steps for the n-th connection; the last list for all later ones."""

    def script(request: Request) -> Steps:
        return scripted[min(request.connection, len(scripted) - 1)]

    return script


def head(status: str = "200 OK", *fields: str) -> bytes:
    """A well-formed head with these field lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# Short against the ramp's measuring interval, long against the delay of a thread.
PACE_SECONDS = 0.02
LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class File:
    """A well-behaved file server for ``content``; its fields may be changed between requests.

    ``rate`` is the rate of each connection in bytes per second; 0 is unlimited. With ``keep``, connections are
    persistent.
    """

    content: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = "Sun, 06 Nov 1994 08:49:37 GMT"
    ranges: bool = True
    chunked: bool = False
    rate: int = 0
    keep: bool = False

    def __call__(self, request: Request) -> Steps:
        fields = ["ETag: " + self.etag] if self.etag else []
        fields += ["Last-Modified: " + self.last_modified] if self.last_modified else []
        match = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", request.fields.get("range", ""))
        condition = request.fields.get("if-range")
        total = len(self.content)
        if not self.ranges or match is None or (condition is not None and condition != self.etag):
            return self._sent("200 OK", fields, 0, total)
        first, end = int(match[1]), min(int(match[2]) + 1 if match[2] else total, total)
        if first >= total:
            return [head("416 Range Not Satisfiable", f"Content-Range: bytes */{total}", "Content-Length: 0")]
        return self._sent(
            "206 Partial Content", [*fields, f"Content-Range: bytes {first}-{end - 1}/{total}"], first, end
        )

    def _sent(self, status: str, fields: list[str], first: int, end: int) -> Steps:
        piece = memoryview(self.content)[first:end]
        if self.chunked:
            sizes = range(0, len(piece), 60_000)
            chunks = b"".join(chunk(bytes(piece[at : at + 60_000])) for at in sizes)
            return [head(status, *fields, "Transfer-Encoding: chunked"), chunks, LAST_CHUNK]
        body = Trickle(piece, PACE_SECONDS, int(self.rate * PACE_SECONDS)) if self.rate else piece
        return [head(status, *fields, f"Content-Length: {len(piece)}"), body, *([KEEP] if self.keep else [])]


@dataclass
class OriginServer:
    """Serves ``script`` on a port of ``host`` until the ``with`` block ends; ``requests`` has the requests so far.

    With ``tls`` every connection begins with a handshake; ``handshake=False`` accepts and then stays silent.
    ``greeting`` is sent before any request.
    """

    script: Script
    tls: ssl.SSLContext | None = None
    handshake: bool = True
    greeting: bytes = b""
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    most_connections: int = 0
    """The most connections that were open at the same time."""

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        # Closing a socket does not wake the thread that accepts on it; a last connection does.
        socket.create_connection((self.host, self.port)).close()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def url(self, path: str = "/file", *, host: str | None = None) -> str:
        scheme = "https" if self.tls else "http"
        own = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # of a server on all of 127.0.0.0/8, any will do
        shown = host or (f"[{own}]" if ":" in own else own)
        return f"{scheme}://{shown}:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            number, self.connections = self.connections, self.connections + 1
            with self._lock:
                self._open.add(connection)
                self.most_connections = max(self.most_connections, sum(map(is_established, self._open)))
            thread = threading.Thread(target=self._serve, args=(connection, number))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        connection = plain
        try:
            if not self.handshake:
                self._stopping.wait()
                return
            plain.sendall(self.greeting)
            if self.tls is not None:
                connection = self.tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.add(connection)
            self._converse(connection, number)
        except OSError:
            pass  # the client may disconnect
        finally:
            with self._lock:
                self._open -= {plain, connection}
            connection.close()
            plain.close()

    def _converse(self, connection: socket.socket, number: int) -> None:
        pending = b""
        while (taken := read_request(connection, number, pending)) is not None:
            request, pending = taken
            self.requests.append(request)
            kept = False
            for step in self.script(request):
                if not self._take(step, connection):
                    return
                kept = kept or step is KEEP
            if not kept:
                close_politely(connection)
                return

    def _take(self, step: Step, connection: socket.socket) -> bool:
        """Execute one step; whether the connection stays usable."""
        match step:
            case Pause(seconds):
                return not self._stopping.wait(seconds)
            case Trickle(data, every, size, sent):
                for at in range(0, len(data), size):
                    piece = data[at : at + size]
                    connection.sendall(piece)
                    sent(len(piece))
                    if self._stopping.wait(every):
                        return False
            case Signal("reset"):
                # A linger time of zero makes close() send RST (socket(7)).
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case Signal("hang"):
                self._stopping.wait()
                return False
            case Signal():
                pass
            case _:
                connection.sendall(step)
        return True


def read_request(connection: socket.socket, number: int, pending: bytes = b"") -> tuple[Request, bytes] | None:
    """The next request on ``connection`` and the bytes after it; None if the client closed."""
    while b"\r\n\r\n" not in pending:
        received = connection.recv(65_536)
        if not received:
            return None
        pending += received
    raw, _, rest = pending.partition(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, fields, raw, number), rest


def is_established(connection: socket.socket) -> bool:
    """Whether neither side has closed ``connection`` (tcp(7): the state is the first byte of TCP_INFO)."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED
    except OSError:  # closed, or wrapped for TLS
        return False


def close_politely(connection: socket.socket) -> None:
    """Send FIN and drain the input: closing with unread bytes would send RST and discard sent data."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1)
        while connection.recv(65_536):
            pass
