"""An origin that paces every connection to the same rate: `python -m bench.paced FOLDER PORT BYTES_PER_SECOND`.

The kernel paces each socket (SO_MAX_PACING_RATE, socket(7)) from the first byte. So a new request on a connection gets
no new burst, unlike with nginx's limit_rate, and this process needs little CPU: sendfile(2) moves the bytes.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from pathlib import Path

# From asm-generic/socket.h; Python's socket module lacks it.
SO_MAX_PACING_RATE = 47
HEAD_BYTES = 65_536
_RANGE = re.compile(rb"\r\nrange:[ \t]*bytes=([0-9]+)-([0-9]*)\r\n", re.IGNORECASE)


def serve(folder: Path, port: int, rate: int) -> None:
    """Serve the files of ``folder`` until the process is killed."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, rate)
        threading.Thread(target=_converse, args=(connection, folder), daemon=True).start()


def _converse(connection: socket.socket, folder: Path) -> None:
    pending = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in pending:
                received = connection.recv(HEAD_BYTES)
                if not received:
                    return
                pending += received
            request, _, pending = pending.partition(b"\r\n\r\n")
            try:
                _answer(connection, folder, request + b"\r\n")
            except OSError:
                return


def _answer(connection: socket.socket, folder: Path, request: bytes) -> None:
    path = folder / request.split(b" ", 2)[1].decode().lstrip("/")
    size = path.stat().st_size
    tag = f'"{size:x}"'
    match = _RANGE.search(request)
    first = int(match[1]) if match else 0
    end = min(int(match[2]) + 1, size) if match and match[2] else size
    if first >= size:
        connection.sendall(
            f"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        return
    status = "206 Partial Content" if match else "200 OK"
    fields = [f"Content-Length: {end - first}", "Accept-Ranges: bytes", f"ETag: {tag}"]
    fields += [f"Content-Range: bytes {first}-{end - 1}/{size}"] if match else []
    connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode())
    with path.open("rb") as file:
        connection.sendfile(file, first, end - first)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
