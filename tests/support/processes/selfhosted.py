"""Starts, observes and stops the self-hosted service as a user does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from scripts.sam_build import ROOT
from scripts.sam_local import free_port
from selfhost.worker_processes import cores
from tests.support.processes.preloaded import AVAILABLE, SERVER, Preloaded
from tests.support.web.clients import Answer, ServerClient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from email.message import EmailMessage


# Importing FastAPI takes a second, and several on a busy machine.
START_SECONDS = 30.0
# Mostly asks the server, which takes 5 ms of a core for each answer.
POLL_SECONDS = 0.05
# The networks of `make run`, and a lease short enough for a test: LEASE_SECONDS must outlast the other three times.
SETTINGS = {
    "ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
    "CHECKPOINT_SECONDS": "0.25",
    "CONNECT_TIMEOUT": "0.75",
    "READ_TIMEOUT": "2",
    "LEASE_SECONDS": "3.5",
}

# For tests that ask the server and not its workers: each takes a third of a second of a core to start.
ONE_WORKER = {"WORKER_PROCESSES": "1"}


class SelfHosted:
    """``python -m selfhost.server`` in ``folder``, as the leader of a process group, like a job of a shell."""

    process: subprocess.Popen[bytes] | Preloaded

    def __init__(self, folder: Path, command: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.command = list(command) or [sys.executable, "-m", SERVER]
        self.settings = {"PORT": str(self.port), "PYTHONWARNINGS": "error", **SETTINGS, **settings}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for pid in [self.process.pid, *self.workers()]:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.wait()

    def start(self, *, expect: str = "Ctrl-C") -> None:
        """Start and wait for the banner."""
        self._log = self.folder / f"output-{time.monotonic_ns()}.txt"
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = {**clean, "PYTHONPATH": str(ROOT), **self.settings}
        with self._log.open("wb") as sink:
            self.process = self._launch(environment, sink)
        wait_until(lambda: expect in self.output or self.process.poll() is not None, START_SECONDS, lambda: self.output)
        assert self.process.poll() is None, self.output

    def _launch(self, environment: dict[str, str], sink: BinaryIO) -> subprocess.Popen[bytes] | Preloaded:
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def base(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def output(self) -> str:
        """The terminal output since the last start."""
        return self._log.read_text()

    def workers(self) -> set[int]:
        """The process ids of the embedded workers."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        found = set()
        for line in listed.stdout.splitlines():
            pid, parent, arguments = line.split(None, 2)
            if "selfhost.worker" in arguments and (
                int(parent) == self.process.pid or _group(int(parent)) == self.process.pid
            ):
                found.add(int(pid))
        return found

    def running_workers(self, *, other_than: Collection[int] = ()) -> set[int]:
        """Wait for all embedded workers, by default as many as there are cores; return their process ids."""
        count = int(self.settings.get("WORKER_PROCESSES", cores()))
        wait_until(lambda: len(self.workers().difference(other_than)) == count, START_SECONDS, lambda: self.output)
        return self.workers().difference(other_than)

    def submit(self, url: str, email: str = "") -> str:
        """Submit and return the id."""
        answer = ServerClient(self.port).post(f"url={url}" + (f"&email={email}" if email else ""))
        assert answer.status == 202, answer.body
        task_id: str = answer.json()["id"]
        return task_id

    def check(self, task_id: str) -> Answer:
        return ServerClient(self.port).request("GET", f"/check?id={task_id}")

    def bytes_hashed(self, task_id: str) -> int:
        """The progress of the task in bytes by /check; the size of the file once it is done."""
        answer = self.check(task_id).json()
        count: int = answer["size"] if answer["complete"] else answer["progress"]["bytes"]
        return count

    def finished(self, task_id: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for the final response of /check; return its body."""
        wait_until(lambda: self.check(task_id).status != 202, seconds, lambda: self.output)
        answer: dict[str, Any] = json.loads(self.check(task_id).body)
        return answer

    def mails(self) -> list[EmailMessage]:
        paths = sorted((self.folder / "outbox").glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]

    def end(self, number: int = signal.SIGINT, *, group: bool = True, times: int = 1) -> float:
        """Send the signal, wait for the exit, and return the seconds waited."""
        started = time.monotonic()
        for again in range(times):
            if again:
                time.sleep(0.15)
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.process.pid, number)
        self.process.wait(20)
        return time.monotonic() - started


class PreloadedSelfHosted(SelfHosted):
    """Its modules are imported already, where the system can do that: a third of the processor time of a start.

    It inherits no limits of the test's process.
    """

    def _launch(self, environment: dict[str, str], sink: BinaryIO) -> subprocess.Popen[bytes] | Preloaded:
        if not AVAILABLE:
            return super()._launch(environment, sink)
        return Preloaded(SERVER, self.folder, environment, self._log)


def wait_until(true: Callable[[], bool], seconds: float, why: Callable[[], object]) -> None:
    """Return when ``true``; fail with ``why`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(POLL_SECONDS)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # proc(5): the state follows the name, which may contain any character but is in parentheses. A zombie has ended; it
    # only waits until its new parent reads its exit status.
    return stat.rpartition(")")[2].split()[0] != "Z"


def peak_mebibytes(pid: int) -> float:
    """The peak resident memory of the process (proc(5), VmHWM)."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 (no Path needed for what is no file)
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    assert match is not None
    return int(match[1]) / 1024


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
