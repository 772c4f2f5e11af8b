"""A rate-limited origin for whole processes: files of any size from one block, with ranges and a byte counter."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PIECE = 65_536


@dataclass
class PacedOrigin:
    """Serves ``size`` bytes, repetitions of ``block``, at ``rate`` bytes per second; None is unlimited.

    ``starts`` has the offset of every response that extends to the end of the file, ``sent`` counts all bytes. While
    ``held`` is set, nothing is sent.
    """

    block: bytes
    size: int
    rate: float | None = None
    starts: list[int] = field(default_factory=list)
    sent: int = 0
    held: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(OSError):  # the client may disconnect or be killed
                    origin._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                pass

        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/file.bin"

    @property
    def md5(self) -> str:
        digest = hashlib.md5()
        for _ in range(self.size // len(self.block)):
            digest.update(self.block)
        digest.update(self.block[: self.size % len(self.block)])
        return digest.hexdigest()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        byte_range = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", handler.headers.get("Range", ""))
        at = int(byte_range[1]) if byte_range else 0
        end = int(byte_range[2]) + 1 if byte_range and byte_range[2] else self.size
        handler.send_response(HTTPStatus.PARTIAL_CONTENT if byte_range else HTTPStatus.OK)
        if byte_range:
            handler.send_header("Content-Range", f"bytes {at}-{end - 1}/{self.size}")
        handler.send_header("ETag", '"one version"')
        handler.send_header("Content-Length", str(end - at))
        handler.end_headers()
        if not (byte_range and byte_range[2]):  # the short ranges of a closing proof do not count
            self.starts.append(at)
        block = memoryview(self.block)
        while at < end and not self._stopping.is_set():
            while self.held.is_set() and not self._stopping.wait(0.02):
                pass
            inside = at % len(block)
            piece = block[inside : inside + min(PIECE if self.rate else len(block), end - at)]
            handler.wfile.write(piece)
            at += len(piece)
            self.sent += len(piece)
            if self.rate:
                time.sleep(len(piece) / self.rate)
