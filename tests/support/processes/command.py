"""Runs ``urlsum`` in forks of a process that has done its imports: a start takes milliseconds.

The installed command needs 0.2 s of a core to start, most of the time of its tests.
``python -m tests.support.processes.command FD`` receives orders on the socket FD, each with the three standard streams,
and responds with the exit status of the forked process. Before the fork, urlsum is only imported.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[3]
# The command and its lazy imports.
PRELOADED = (
    "cli.main",
    "cli.run",
    "cli.verify",
    "cli.report",
    "cli.local",
    "cli.fetch",
    "cli.progress",
    "cli.remote",
    "origin.source",
    "settings",
)
ORDER_BYTES = 65_536
# Far more than any test needs.
SECONDS = 60.0


class Forked:
    """Runs the command in forked processes."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def run(
        self, arguments: Sequence[str], *, stdin: str | IO[bytes], cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Like ``subprocess.run`` with captured output; ``stdin`` is a text or a file."""
        with ExitStack() as stack:
            streams: list[Any] = [
                stack.enter_context(TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")) for _ in range(3)
            ]
            if isinstance(stdin, str):
                streams[0].write(stdin)
                streams[0].seek(0)
            else:
                streams[0] = stdin
            order = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}).encode()
            assert len(order) < ORDER_BYTES
            socket.send_fds(self._orders, [order], [stream.fileno() for stream in streams])
            status = int(self._orders.recv(16))
            for stream in streams[1:]:
                stream.seek(0)
            return subprocess.CompletedProcess(list(arguments), status, *(stream.read() for stream in streams[1:]))


@contextmanager
def forked(env: Mapping[str, str]) -> Iterator[Forked]:
    """Yield a runner of the command; ``env`` is the environment of the first process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(SECONDS)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.command", str(theirs.fileno())],
            cwd=ROOT,
            env={**env, "PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        try:
            yield Forked(ours)
        finally:
            ours.close()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _become(order: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Run the command in this process and exit with its status, like Python itself."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["urlsum", *order["arguments"]]
    sys.exit(importlib.import_module("urlsum.cli.main").main())


def main() -> None:
    """Fork a process for every order, until the test closes the socket."""
    for name in PRELOADED:
        importlib.import_module(f"urlsum.{name}")
    gc.freeze()  # otherwise the garbage collector of each fork would write to all shared pages
    orders = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, streams, _, _ = socket.recv_fds(orders, ORDER_BYTES, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            orders.close()
            _become(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        orders.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


if __name__ == "__main__":
    main()
