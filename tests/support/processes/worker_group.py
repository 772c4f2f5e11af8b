"""A group of real worker processes that tests kill, stop and replace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    import signal
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[3]


class WorkerGroup:
    """Worker processes that the fork server starts with one environment; ``log`` collects their logs."""

    def __init__(self, fork_server: subprocess.Popen[str], entry: str, env: Mapping[str, str], log: Path) -> None:
        self._fork_server = fork_server
        self._entry = entry
        self._env = dict(env)
        self.log = log
        self.pids: list[int] = []

    def start(self, count: int = 1) -> None:
        """Start ``count`` more processes."""
        for _ in range(count):
            self.pids.append(self._order({"entry": self._entry, "env": self._env, "log": str(self.log)}))

    def kill(self, pid: int) -> None:
        """``kill -9``."""
        self.pids.remove(pid)
        assert self._order({"kill": pid}) == pid

    def _order(self, order: dict[str, Any]) -> int:
        assert self._fork_server.stdin is not None
        assert self._fork_server.stdout is not None
        self._fork_server.stdin.write(json.dumps(order) + "\n")
        self._fork_server.stdin.flush()
        return int(self._fork_server.stdout.readline())

    def replace_one(self, rng: random.Random) -> None:
        """Kill one process and start another."""
        self.kill(rng.choice(self.pids))
        self.start()

    def signal(self, pids: list[int], number: signal.Signals) -> None:
        """Send a signal to the processes ``pids``."""
        for pid in pids:
            os.kill(pid, number)

    def said(self) -> str:
        """The log of all processes."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


@contextmanager
def worker_group(directory: Path, env: Mapping[str, str], entry: str = "selfhost.worker:main") -> Iterator[WorkerGroup]:
    """Yield an empty worker group in ``directory``; none of its processes outlives the block."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    fork_server = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.support.processes.fork_server"],
        cwd=directory,  # where no .env lies
        env={**clean, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert fork_server.stdin is not None
        assert fork_server.stdout is not None
        assert fork_server.stdout.readline() == "ready\n"
        yield WorkerGroup(fork_server, entry, env, directory / "workers.log")
    finally:
        fork_server.communicate()
