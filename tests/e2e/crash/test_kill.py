"""``kill -9`` at any instant: nothing is lost, nothing is done twice, and little is read again."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import INTERVAL_BYTES, RESUME_OVERLAP_BYTES, worker_deployment
from tests.support.processes.worker_group import worker_group
from tests.support.stores.audit import assert_lawful, taken_over

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

MB = 10**6
SIZES = [round((1 + number / 4) * MB) for number in range(17)]  # up to 5 MB: 0.8 s at the origin's pace
WORKERS = 6
# Between two kills, of any of the workers: each then lives for 0.6 s on average, between nothing and several seconds.
PAUSE_SECONDS = (0.0, 0.2)


def kill_them(kind: str, kills: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(kills)
    with (
        worker_deployment(kind, directory, monkeypatch, SIZES) as deployment,
        worker_group(directory, deployment.env, "tests.support.processes.worker_processes:single") as workers,
    ):
        begun = time.monotonic()
        workers.start(WORKERS)
        deployment.submit(4 * WORKERS)
        for _ in range(kills):
            time.sleep(rng.uniform(*PAUSE_SECONDS))
            workers.replace_one(rng)
            deployment.submit()
        killing = time.monotonic() - begun
        deployment.wait(seconds=300)
        taken = time.monotonic() - begun
        deployment.assert_right()
        writes = deployment.audit.writes()
        assert_lawful(writes)
        hit = taken_over(writes)
        second_mails = deployment.mails().total() - len(deployment.tasks)
        assert 0 <= second_mails <= kills
        closing = 2 * RESUME_OVERLAP_BYTES * len(deployment.tasks)  # the proof that ends every task
        again = (deployment.files.served - deployment.size - closing) / kills
        figures = (
            f"{kind}: {kills} kills in {killing:.0f} s, {hit} of them in the middle of a task",
            f"{len(deployment.tasks)} tasks, all ended after {taken:.0f} s, {second_mails} second mails",
            f"{again / 1000:.0f} kB read again per kill, of {INTERVAL_BYTES / 1000:.0f} kB in a checkpoint interval",
        )
        print("\n" + "; ".join(figures))  # noqa: T201 - for the report
        assert again <= INTERVAL_BYTES + RESUME_OVERLAP_BYTES
        assert hit >= kills // 5  # or else the kills were no test
        assert "Traceback" not in workers.said()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 20), ("mysql", 10), ("aws", 8)])
def test_a_few_kills(kind: str, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_them(kind, kills, tmp_path, monkeypatch)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "aws"])
def test_kills_of_readers_strand_no_task_that_waits(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks want the same file; the worker that reads it is killed again and again."""
    rng = random.Random(5)
    with (
        worker_deployment(kind, tmp_path, monkeypatch, [10 * MB]) as deployment,
        worker_group(tmp_path, deployment.env, "tests.support.processes.worker_processes:single") as workers,
    ):
        workers.start(3)
        deployment.submit(15, shared=True)
        kills = 8
        for _ in range(kills):
            time.sleep(rng.uniform(0.3, 0.6))
            workers.replace_one(rng)
        deployment.wait(seconds=200)
        deployment.assert_right()
        assert_lawful(deployment.audit.writes())
        tasks = [deployment.task(task_id) for task_id in deployment.tasks]
        read = sum(task.reused_at is None for task in tasks)
        served = deployment.files.served / MB
        print(f"\n{kind}: {kills} kills, {read} of {len(tasks)} read to the end, {served:.0f} MB served")  # noqa: T201 - figures
        # A reader that was taken for dead may come back.
        assert 1 <= read <= 1 + kills
        assert "Traceback" not in workers.said()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 500), ("mysql", 200), ("aws", 200)])
def test_hundreds_of_kills(kind: str, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_them(kind, kills, tmp_path, monkeypatch)
