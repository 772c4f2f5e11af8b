"""Nobody waits for a stranger's slow server: a small file among many that drip, on real processes."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.drips import Drips
from tests.support.processes.selfhosted import SelfHosted, wait_until
from tests.support.stores.every_queue import REDIS, redis_rig
from tests.support.stores.tables import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.crash

# A rate at which the guard against slow origins lets a file live, and at which a whole tail would take 43 s.
RATE = 1500
# A fifth of the turns of a deployment.
SHORT = 2.0
# The times of a deployment: those of SelfHosted are shorter.
DEFAULTS = {"CHECKPOINT_SECONDS": "10", "CONNECT_TIMEOUT": "10", "READ_TIMEOUT": "30", "LEASE_SECONDS": "90"}


@dataclass
class Watch:
    """How long small files waited, and the longest time between two slices of a drip."""

    service: SelfHosted
    waits: list[float] = field(default_factory=list)
    slices: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    longest_gap: float = 0.0

    def begin(self, drips: list[str], within: float) -> None:
        """Wait until each drip has had its first slice."""
        self.slices = dict.fromkeys(drips, 0)
        self.since = dict.fromkeys(drips, time.monotonic())
        wait_until(self._all_begun, within, lambda: self.slices)

    def run(self, origin: Drips, seconds: float) -> None:
        """Submit one small file after the other."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.monotonic()
            task_id = self.service.submit(origin.url(f"small/{len(self.waits)}"))
            wait_until(lambda: self._look()[task_id][1] == "done", 120, lambda: self.service.output)  # noqa: B023 - called at once
            self.waits.append(time.monotonic() - begun)
            time.sleep(0.5)
        self.longest_gap = max(self.longest_gap, *(time.monotonic() - since for since in self.since.values()))
        p95 = statistics.quantiles(self.waits, n=20)[-1]
        print(f"\n{len(self.waits)} small files: p50 {statistics.median(self.waits):.1f} s, p95 {p95:.1f} s, at most")  # noqa: T201 - for the report
        print(f"{max(self.waits):.1f} s; {len(self.slices)} drips: a slice every {self.longest_gap:.1f} s at least")  # noqa: T201

    def _all_begun(self) -> bool:
        self._look()
        return all(self.slices.values())

    def _look(self) -> dict[str, tuple[int, str]]:
        database = f"sqlite:///{self.service.folder}/data/urlsum.db"
        rows = {row[0]: (row[1], row[2]) for row in execute(database, "SELECT id, slices, status FROM tasks")}
        now = time.monotonic()
        for task_id, before in self.slices.items():
            if rows[task_id][0] != before:
                if before:
                    self.longest_gap = max(self.longest_gap, now - self.since[task_id])
                self.slices[task_id], self.since[task_id] = rows[task_id][0], now
        return rows

    def assert_fair(self, wait: float, gap: float) -> None:
        assert statistics.quantiles(self.waits, n=20)[-1] <= wait, self.waits
        assert self.longest_gap <= gap
        # Every drip came forward, and none was blamed for its short turns.
        database = f"sqlite:///{self.service.folder}/data/urlsum.db"
        assert execute(database, "SELECT COUNT(*) FROM tasks WHERE error_code IS NOT NULL") == [(0,)]


@contextmanager
def rq_workers(service: SelfHosted, queue: str, count: int) -> Iterator[None]:
    command = [str(Path(sys.executable).with_name("rq")), "worker", "-u", REDIS, queue]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), **service.settings}
    with (service.folder / "workers.txt").open("wb") as log:
        workers = [
            subprocess.Popen(command, cwd=service.folder, env=environment, stdout=log, stderr=log) for _ in range(count)
        ]
        try:
            yield
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(20)


def starve(folder: Path, drips: int, seconds: float, *, rq: int = 0, turn: float = 10.0) -> Watch:
    """Submit ``drips`` slow files and then, for ``seconds``, small ones; with ``rq`` workers of RQ's, if any."""
    with ExitStack() as stack:
        origin = stack.enter_context(Drips(RATE))
        settings = {"HAND_OVER_SECONDS": f"{turn:g}", **DEFAULTS}
        if rq:
            rig = stack.enter_context(redis_rig())
            settings |= {"REDIS_URL": REDIS, "TASKS_QUEUE_NAME": rig.rq.name}
        settings["DATABASE_URI"] = f"sqlite:///{folder}/data/urlsum.db"
        # RQ's worker warns of its own connections, and warnings are errors here.
        service = stack.enter_context(SelfHosted(folder, **settings, PYTHONWARNINGS="default"))
        if rq:
            stack.enter_context(rq_workers(service, rig.rq.name, rq))
        watch = Watch(service)
        # A job of RQ's takes seconds to start on a busy machine.
        begins = math.ceil(drips / (rq or 8)) * (8 if rq else 3) + 10
        watch.begin([service.submit(origin.url(f"drip/{number}")) for number in range(drips)], begins)
        watch.run(origin, seconds)
        return watch


@pytest.mark.timeout(120)
def test_a_small_file_among_drips_under_make_run(tmp_path: Path) -> None:
    # A fifth of a deployment's bound of five minutes.
    starve(tmp_path, 24, 30, turn=SHORT).assert_fair(3, 60)


@pytest.mark.timeout(180)
def test_a_small_file_among_drips_with_two_rq_workers(tmp_path: Path) -> None:
    starve(tmp_path, 8, 45, rq=2, turn=SHORT).assert_fair(15, 60)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_small_file_among_64_drips_under_make_run(tmp_path: Path) -> None:
    starve(tmp_path, 64, 400).assert_fair(3, 300)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_small_file_among_64_drips_with_two_rq_workers(tmp_path: Path) -> None:
    starve(tmp_path, 64, 600, rq=2).assert_fair(15, 300)
