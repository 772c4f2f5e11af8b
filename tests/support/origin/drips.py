"""An origin of many large files that come a few bytes at a time, and of small ones that come at once."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import suppress
from typing import Self

SIZE = 50_000_000
PIECE_SECONDS = 0.25
BLOCK = bytes(range(256))
SMALL = b"ok"


class Drips:
    """Serves ``/drip/…`` at ``rate`` bytes per second for each connection, with ranges, and ``/small/…`` at once."""

    def __init__(self, rate: int) -> None:
        self._piece = int(rate * PIECE_SECONDS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._listening = threading.Event()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._connection(reader, writer)
            writer.close()
            connections.discard(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopping.wait()
        server.close()
        ending = list(connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if " /small/" in head:
                writer.write(b'HTTP/1.1 200 OK\r\nETag: "s"\r\nContent-Length: %d\r\n\r\n%b' % (len(SMALL), SMALL))
                await writer.drain()
                continue
            wanted = re.search(r"range: bytes=(\d+)-(\d*)", head, re.IGNORECASE)
            at = int(wanted[1]) if wanted else 0
            end = min(int(wanted[2]) + 1, SIZE) if wanted and wanted[2] else SIZE
            status = "206 Partial Content" if wanted else "200 OK"
            field = f"Content-Range: bytes {at}-{end - 1}/{SIZE}\r\n" if wanted else ""
            writer.write(f'HTTP/1.1 {status}\r\nETag: "d"\r\nContent-Length: {end - at}\r\n{field}\r\n'.encode())
            while at < end:
                piece = BLOCK[at % len(BLOCK) :][: end - at]
                piece = (piece + BLOCK * (self._piece // len(BLOCK) + 1))[: min(self._piece, end - at)]
                writer.write(piece)
                await writer.drain()
                at += len(piece)
                await asyncio.sleep(PIECE_SECONDS)
