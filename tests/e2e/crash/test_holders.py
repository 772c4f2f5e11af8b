"""Two hundred tasks, four workers, one table: nobody works on a task that another one holds."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes.deployed import worker_deployment
from tests.support.processes.worker_group import worker_group
from tests.support.stores.audit import assert_lawful

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

TASKS = 200
WORKERS = 4
SIZES = [40_000, 400_000, 1_000_000]


def assert_alone(notes: list[dict[str, Any]]) -> None:
    """Check that each fence of a task was one worker's, and that it had stopped writing when the next one began.

    The worker's thread for the email takes the task over from the one that has hashed it, under the same fence.
    """
    tasks: defaultdict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for note in notes:
        tasks[note["id"]][note["fence"]].append(note)
    for fences in tasks.values():
        last: dict[str, Any] | None = None
        for fence in sorted(fences):
            mine = sorted(fences[fence], key=lambda note: note["ended"])
            assert len({note["holder"] for note in mine if not note["email"]}) == 1
            assert len({note["holder"].partition("/")[0] for note in mine}) == 1
            assert [note["email"] for note in mine] == sorted(note["email"] for note in mine), "hashed after the email"
            assert [note["claim"] for note in mine] == [True] + [False] * (len(mine) - 1)
            if last is not None:
                assert last["begun"] <= mine[0]["ended"], "written after it was taken over"
                assert last["lease_until"] < mine[0]["ended"], "taken over while it was held"
            last = mine[-1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("mysql", marks=pytest.mark.long)])
def test_no_task_has_two_holders_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_deployment(kind, tmp_path, monkeypatch, SIZES) as deployment:
        log = tmp_path / "writes"
        with worker_group(
            tmp_path, {**deployment.env, "WRITES": str(log)}, "tests.support.processes.worker_processes:watched"
        ) as workers:
            deployment.submit(TASKS)
            workers.start(WORKERS)
            deployment.wait(seconds=120)
        deployment.assert_right()
        assert deployment.mails().total() == TASKS  # nothing crashed, so exactly one each
        assert_lawful(deployment.audit.writes())
        notes = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        assert_alone(notes)
        holders = {note["holder"].partition("/")[0] for note in notes}
        assert len(holders) == WORKERS  # or else it was no contest
        assert {note["id"] for note in notes} == deployment.tasks.keys()
