"""What only a sweep brings to an end, brought to it by the sweep of a real worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import worker_deployment
from tests.support.processes.worker_group import worker_group
from tests.support.stores.memory import MemoryQueue
from tests.support.stores.tables import new_task
from urlsum import service
from urlsum.errors import TaskNotFound
from urlsum.service import Submission

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes.deployed import WorkerDeployment

pytestmark = pytest.mark.crash


@pytest.mark.timeout(60)
def test_a_task_whose_submitter_died_before_it_sent_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        worker_deployment("aws", tmp_path, monkeypatch, [100_000]) as deployment,
        worker_group(tmp_path, deployment.env) as workers,
    ):
        nowhere = MemoryQueue()
        task_id = service.submit(
            Submission(url=deployment.origin.url("/0"), email="reader@abc.ru"),
            table=deployment.services.table,
            queue=nowhere,
            guard=deployment.services.guard,
            secret=deployment.services.secret,
            now=time.time(),
            ttl_days=1,
        )
        deployment.tasks[task_id] = 0
        workers.start()
        deployment.wait(seconds=30)
        deployment.assert_right()
        assert deployment.mails().total() == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_expired_tasks_are_deleted_as_dynamodb_would(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    old, young = (new_task(due_at=None, expires_at=int(now) + age) for age in (-1, 1000))
    with (
        worker_deployment(kind, tmp_path, monkeypatch, [1]) as deployment,
        worker_group(tmp_path, deployment.env) as workers,
    ):
        deployment.services.table.add(old)
        deployment.services.table.add(young)
        workers.start()
        while stands(deployment, old.id):
            assert time.time() < now + 30
            time.sleep(0.1)
        assert deployment.task(young.id) == young


def stands(deployment: WorkerDeployment, task_id: str) -> bool:
    try:
        deployment.task(task_id)
    except TaskNotFound:
        return False
    return True
