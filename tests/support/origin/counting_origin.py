"""A file server that counts what its clients cost it: every byte of a body that it could send, and every request."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The kernel doubles it. What lies here when a client closes was counted, but never sent.
SEND_BUFFER_BYTES = 16_384
PIECE_BYTES = 16_384


@dataclass
class Resource:
    """A file; its fields may be changed between requests.

    ``rate`` is in bytes per second and connection, 0 is unlimited. ``before`` is called before each piece with its
    position, and may wait or raise ConnectionError. ``fields`` are further fields of every response. The next responses
    have the statuses of ``refusals``, and no body; those to range requests ``range_refusals``, or all ``range_status``.
    Ranges begin at a multiple of ``block``; ``bare_ranges`` have no validators. A file that is ``gone``, or gone after
    the first request, is a 404. ``location`` makes it a redirect.
    """

    content: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = "Sun, 06 Nov 1994 08:49:37 GMT"
    ranges: bool = True
    rate: int = 0
    refusals: list[int] = field(default_factory=list)
    range_refusals: list[int] = field(default_factory=list)
    range_status: int | None = None
    block: int = 1
    bare_ranges: bool = False
    gone: bool = False
    gone_after_first: bool = False
    etag_per_response: bool = False
    location: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    before: Callable[[int], None] = lambda at: None


@dataclass
class CountingOrigin:
    """Serves ``files`` by path and query; ``sent`` counts bytes of bodies by path, ``requests`` has their ranges."""

    base: str
    files: dict[str, Resource] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return self.base + path

    def whole(self, path: str) -> int:
        """The number of requests for the whole file."""
        return self.requests.count((path, None))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: CountingOrigin

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().setup()

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        with self.origin.lock:
            self.origin.requests.append((self.path, asked))
        file = self.origin.files[self.path]
        total = len(file.content)
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "") if file.ranges else None
        if status := self._refusal(file, ranged=byte_range is not None):
            return self._head(file, status, 0)
        if byte_range is None:
            self._head(file, 200, total)
            return self._body(file, 0, total)
        first, end = int(byte_range[1]), min(int(byte_range[2] or total) + bool(byte_range[2]), total)
        first -= first % file.block
        self._head(file, 206, end - first, ("Content-Range", f"bytes {first}-{end - 1}/{total}"))
        return self._body(file, first, end)

    def _refusal(self, file: Resource, *, ranged: bool) -> int | None:
        if file.location is not None:
            return 302
        if file.gone or (file.gone_after_first and len(self.origin.requests) > 1):
            return 404
        refusals = file.range_refusals if ranged else file.refusals
        if refusals:
            return refusals.pop(0)
        return file.range_status if ranged else None

    def _head(self, file: Resource, status: int, length: int, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        etag = f'"{len(self.origin.requests)}"' if file.etag_per_response else file.etag
        bare = status == HTTPStatus.PARTIAL_CONTENT and file.bare_ranges
        validators = () if bare else (("ETag", etag), ("Last-Modified", file.last_modified))
        for name, value in (
            *validators,
            ("Location", file.location),
            *fields,
            *file.fields,
            ("Content-Length", str(length)),
        ):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _body(self, file: Resource, first: int, end: int) -> None:
        content = memoryview(file.content)  # as it is now
        try:
            for at in range(first, end, PIECE_BYTES):
                file.before(at)
                piece = content[at : min(at + PIECE_BYTES, end)]
                self.wfile.write(piece)
                with self.origin.lock:
                    self.origin.sent[self.path] += len(piece)
                if file.rate:
                    time.sleep(len(piece) / file.rate)
        except OSError:
            self.close_connection = True

    def handle(self) -> None:
        with suppress(OSError):  # the client may disconnect
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


def now() -> str:
    """The Last-Modified of a file that was written this second."""
    return formatdate(time.time(), usegmt=True)


@contextmanager
def counting_origin() -> Iterator[CountingOrigin]:
    """Serve on a free loopback port."""
    origin = CountingOrigin("")
    handler = type("Handler", (Handler,), {"origin": origin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    origin.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield origin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
