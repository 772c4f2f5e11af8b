"""The self-hosted service under load: server, embedded worker and a second one, on SQLite."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import File, OriginServer
from tests.support.processes.worker_group import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.crash

# What two cores serve with room to spare while two workers hash what is submitted; a self-hosted service for a few
# hundred people. Each submission is also a file to fetch, a result to commit and a mail to write.
SUBMITS_PER_SECOND = 20
CHECKS_PER_SECOND = 100
# As many clients as keep the rate although each waits for its answer.
CLIENTS = 16
CONTENT = bytes(range(256)) * 400
DIGEST = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Client:
    """Sends at a fixed rate, whatever the answers take: a late one does not excuse the next."""

    port: int
    urls: Iterator[str]
    ids: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"submit": [], "check": []})

    def run(self, seconds: float, rates: dict[str, int]) -> None:
        moments = sorted((n / rate, kind) for kind, rate in rates.items() for n in range(round(seconds * rate)))
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for moment, kind in moments:
                time.sleep(max(0.0, begun + moment - time.monotonic()))
                pool.submit(self._send, kind, begun + moment)

    def _send(self, kind: str, planned: float) -> None:
        if kind == "submit":
            status, body = self.request("POST", "/submit", json.dumps({"url": next(self.urls), "email": "a@abc.ru"}))
            if status == 202:
                self.ids.append(json.loads(body)["id"])
        elif self.ids:
            status, _ = self.request("GET", f"/check?id={self.ids[-1 - len(self.seconds['check']) % len(self.ids)]}")
        else:
            return
        self.seconds[kind].append(time.monotonic() - planned)
        self.statuses[kind, status] += 1

    def request(self, method: str, target: str, body: str | None = None) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()


@contextmanager
def service(directory: Path, **settings: str) -> Iterator[int]:
    """Run the server with its embedded worker, and another worker; yield the server's port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DATABASE_URI": f"sqlite:///{directory}/urlsum.db",
        "OUTBOX_DIR": str(directory / "outbox"),
        "ALLOWED_NETWORKS": "127.0.0.0/8",
        **settings,
    }
    with (directory / "log").open("wb") as log:
        processes = [
            subprocess.Popen([sys.executable, "-m", module], cwd=directory, env=env, stdout=log, stderr=log)
            for module in ("selfhost.server", "selfhost.worker")
        ]
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield port
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(10)


def percentile(values: list[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100)[hundredth - 1]


def under_load(seconds: float, directory: Path) -> None:
    with OriginServer(File(CONTENT)) as origin, service(directory) as port:
        client = Client(port, map(origin.url, (f"/{n}" for n in itertools.count())))
        client.run(seconds, {"submit": SUBMITS_PER_SECOND, "check": CHECKS_PER_SECOND})
        accepted = len(client.ids)
        ended, deadline = set[str](), time.monotonic() + 60
        while len(ended) < accepted:
            assert time.monotonic() < deadline, f"{accepted - len(ended)} of {accepted} tasks hang"
            for task_id in set(client.ids) - ended:
                status, body = client.request("GET", f"/check?id={task_id}")
                if status == 200:
                    assert json.loads(body)["md5"] == DIGEST
                    ended.add(task_id)
            time.sleep(0.2)
        figures = [
            f"{kind} p50 {1000 * percentile(times, 50):.0f} ms, p99 {1000 * percentile(times, 99):.0f} ms"
            for kind, times in client.seconds.items()
        ]
        print(f"\n{seconds:.0f} s: {dict(client.statuses)}; {'; '.join(figures)}; {accepted} tasks, all ended")  # noqa: T201 - for the report
        assert accepted == SUBMITS_PER_SECOND * seconds
        assert {status for kind, status in client.statuses if kind == "submit"} == {202}
        assert {status for kind, status in client.statuses if kind == "check"} <= {200, 202}
        mails_by = time.monotonic() + 10
        while len(list((directory / "outbox").glob("*.eml"))) < accepted:
            assert time.monotonic() < mails_by
            time.sleep(0.1)
        assert len(list((directory / "outbox").glob("*.eml"))) == accepted


@pytest.mark.timeout(120)
def test_ten_seconds_of_load(tmp_path: Path) -> None:
    under_load(10, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_five_minutes_of_load(tmp_path: Path) -> None:
    under_load(300, tmp_path)
