"""Starts ``python -m selfhost.server`` and ``rq worker`` in processes that have imported their modules already.

The imports take most of the processor time of a start, and are the same in each. One process makes them, and forks one
for each start, which runs the program as ``__main__`` in its own session, folder and environment. What that starts in
turn, as the embedded workers, is started as ever. A start from nothing is shown where a test names its command.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import threading
from functools import cache
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

from scripts.sam_build import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVER = "selfhost.server"
RQ = "rq.cli"
# What a program imports when it runs: the job of RQ's workers, which each job's process would import again.
LATER = {SERVER: (), RQ: ("selfhost.rq_task",)}
# Linux only (pidfd_open(2)).
AVAILABLE = hasattr(os, "pidfd_open")
# Requests and answers take turns.
TURN = threading.Lock()


class Preloaded:
    """A program that was started this way, with what tests use of a ``subprocess.Popen``."""

    def __init__(
        self, program: str, folder: Path, environment: Mapping[str, str], output: Path, *arguments: str
    ) -> None:
        """Start it in ``folder`` with this environment only; it appends to ``output``."""
        # Python reads PYTHONWARNINGS at its start, so processes of one value share a parent.
        self._parent = _parent(program, environment.get("PYTHONWARNINGS", ""))
        self.pid: int = _ask(self._parent, start=[str(folder), dict(environment), str(output), *arguments])
        self.returncode: int | None = None
        self._ended = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """The exit status once it has ended; that of a signal is negative."""
        self._look(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        self._look(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, SIGKILL)

    def _look(self, timeout: float | None) -> None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            self.returncode = _ask(self._parent, reap=self.pid)
            os.close(self._ended)


@cache
def _parent(program: str, warnings: str) -> socket.socket:
    """The other end of the process that forks."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno()), program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": warnings},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the tests is not for it
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _ask(connection: socket.socket, **request: Any) -> int:
    """Send a request, and return the number that answers it."""
    with TURN:
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = connection.recv(64)
            assert piece, "the process that forks has ended"
            answer += piece
        return int(answer)


def main() -> None:
    """Answer requests until the other end is closed."""
    program = sys.argv[2]
    for name in (program, *LATER[program]):
        importlib.import_module(name)
    if program == SERVER:
        del sys.modules[SERVER]  # each process runs it itself; RQ's is a package, which runs its __main__
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as connection, connection.makefile("rb") as requests:
        for line in requests:
            request = json.loads(line)
            if "start" in request:
                answer = os.fork()
                if answer == 0:
                    os.close(connection.fileno())
                    _become(program, *request["start"])
            else:
                answer = os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])
            connection.sendall(b"%d\n" % answer)


def _become(program: str, folder: str, environment: dict[str, str], output: str, *arguments: str) -> None:
    """Run the program in this forked process, and end with it."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sink = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(sink)
    sys.argv = [program, *arguments]
    status = 1
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
