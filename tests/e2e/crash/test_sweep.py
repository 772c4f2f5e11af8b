"""What only a sweep brings to an end, brought to it by the sweep of a real worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import stage
from tests.support.processes.fleet import fleet
from tests.support.stores.memory import MemoryQueue
from tests.support.stores.tables import new_task
from urlsum import service
from urlsum.errors import TaskNotFound
from urlsum.service import Submission

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes.deployed import Stage


@pytest.mark.timeout(60)
def test_a_task_whose_submitter_died_before_it_sent_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage("aws", tmp_path, monkeypatch, [100_000]) as scene, fleet(tmp_path, scene.env) as workers:
        nowhere = MemoryQueue()
        task_id = service.submit(
            Submission(url=scene.origin.url("/0"), email="reader@abc.ru"),
            table=scene.services.table,
            queue=nowhere,
            guard=scene.services.guard,
            now=time.time(),
            ttl_days=1,
        )
        scene.tasks[task_id] = 0
        workers.start()
        scene.wait(seconds=30)
        scene.assert_right()
        assert scene.mails().total() == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_expired_tasks_are_deleted_as_dynamodb_would(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    old, young = (new_task(due_at=None, expires_at=int(now) + age) for age in (-1, 1000))
    with stage(kind, tmp_path, monkeypatch, [1]) as scene, fleet(tmp_path, scene.env) as workers:
        scene.services.table.add(old)
        scene.services.table.add(young)
        workers.start()
        while stands(scene, old.id):
            assert time.time() < now + 30
            time.sleep(0.1)
        assert scene.task(young.id) == young


def stands(scene: Stage, task_id: str) -> bool:
    try:
        scene.task(task_id)
    except TaskNotFound:
        return False
    return True
