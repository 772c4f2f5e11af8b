"""A file server that needs only Python, so that it can also run in its own container.

``GET /SIZE/RATE/NAME`` is a file of SIZE bytes at RATE bytes per second (0: unlimited), ``GET /starts`` the first byte
of every response so far, as JSON. ``python range_server.py PORT`` serves until it is killed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# No repetition within a read of the client, so that misplaced bytes change the digest.
BLOCK = b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(32768))
PIECES_PER_SECOND = 20


def md5(size: int) -> str:
    """Return the MD5 of a file of ``size`` bytes."""
    whole, rest = divmod(size, len(BLOCK))
    digest = hashlib.md5()
    for _ in range(whole):
        digest.update(BLOCK)
    digest.update(BLOCK[:rest])
    return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    starts: list[int] = []  # noqa: RUF012 - one list for all requests is intended

    def do_GET(self) -> None:
        if self.path == "/starts":
            self._head(HTTPStatus.OK, len(body := json.dumps(self.starts).encode()))
            self.wfile.write(body)
        elif match := re.fullmatch(r"/(\d+)/(\d+)/\w+", self.path):
            with suppress(OSError):  # the client may disconnect or be killed
                self._file(int(match[1]), int(match[2]))
        else:
            self._head(HTTPStatus.NOT_FOUND, 0)

    def _file(self, size: int, rate: int) -> None:
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, end = (
            (int(byte_range[1]), min(int(byte_range[2] or size) + bool(byte_range[2]), size))
            if byte_range
            else (0, size)
        )
        if not (byte_range and byte_range[2]):  # the short ranges of a closing proof do not count
            self.starts.append(first)
        fields = {"ETag": '"one version"'}
        if byte_range:
            fields["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        self._head(HTTPStatus.PARTIAL_CONTENT if byte_range else HTTPStatus.OK, end - first, fields)
        block, at = memoryview(BLOCK), first
        while at < end:
            inside = at % len(block)
            piece = block[inside : inside + min(max(rate // PIECES_PER_SECOND, 1) if rate else len(block), end - at)]
            self.wfile.write(piece)
            at += len(piece)
            if rate:
                time.sleep(len(piece) / rate)

    def _head(self, status: HTTPStatus, length: int, fields: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(fields or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@contextmanager
def serving() -> Iterator[str]:
    """Serve on a free loopback port; yield the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"starts": []}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
