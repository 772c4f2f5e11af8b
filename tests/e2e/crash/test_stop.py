"""SIGSTOP past the lease, another worker takes over, SIGCONT: the one that slept changes nothing."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import LEASE_SECONDS, worker_deployment
from tests.support.processes.worker_group import worker_group
from tests.support.stores.audit import assert_lawful, taken_over

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

MB = 10**6
SIZES = [12 * MB] * 4  # two seconds at the origin's pace, so that most workers are stopped in the middle of one
WORKERS = 8
STOPPED = 4
# From the first stop until the other four have taken over what the four held. A table queue offers a task once its
# lease has lapsed; for SQS the sweeper does, which waits for another lease and then for its turn.
ASLEEP_SECONDS = {"sqlite": 2 * LEASE_SECONDS, "mysql": 2 * LEASE_SECONDS, "aws": 3.5 * LEASE_SECONDS}


def put_them_to_sleep(kind: str, stops: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(stops)
    with (
        worker_deployment(kind, directory, monkeypatch, SIZES) as deployment,
        worker_group(directory, deployment.env, "tests.support.processes.worker_processes:single") as workers,
    ):
        workers.start(WORKERS)
        taken, rounds = 0, 0
        while taken < stops:
            # No more than there are workers: what waits in line would be taken before what has just lapsed.
            deployment.submit(WORKERS - len(deployment.unfinished()))
            time.sleep(rng.uniform(0.3, 0.9))
            sleepers = rng.sample(workers.pids, STOPPED)
            workers.signal(sleepers, signal.SIGSTOP)
            time.sleep(ASLEEP_SECONDS[kind])
            workers.signal(sleepers, signal.SIGCONT)
            rounds += 1
            taken = taken_over(deployment.audit.writes())
            assert rounds <= 10 + stops, "hardly any stop hits a task"
        deployment.wait(seconds=120)
        deployment.assert_right()
        writes = deployment.audit.writes()
        assert_lawful(writes)
        refused = workers.said().count("LeaseLost")
        second_mails = deployment.mails().total() - len(deployment.tasks)
        print(  # noqa: T201 - the figures of the report
            f"\n{kind}: {taken} tasks taken over from {rounds * STOPPED} stopped workers;"
            f" {len(deployment.tasks)} tasks, {len(writes)} writes accepted, none of them stale;"
            f" {refused} stale ones refused; {second_mails} second mails"
        )
        # A worker that wakes up in the middle of a file tries to write; otherwise there was no write to refuse.
        assert refused >= taken / 4
        assert "Traceback" not in workers.said()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_a_few_sleepers(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_them_to_sleep(kind, 3, tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "mysql", "aws"])
def test_a_hundred_sleepers(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_them_to_sleep(kind, 100, tmp_path, monkeypatch)
