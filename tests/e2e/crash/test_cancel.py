"""A task is cancelled while a real worker reads its file: the worker stops within a checkpoint and mails nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import CHECKPOINT_SECONDS, INTERVAL_BYTES, worker_deployment
from tests.support.processes.worker_group import worker_group
from tests.support.stores.audit import assert_lawful
from urlsum import service
from urlsum.task import Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

SIZES = [30_000_000, 100_000]  # at the origin's pace the first takes five seconds


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["sqlite", "mysql", "aws"])
def test_the_worker_stops_within_one_checkpoint(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        worker_deployment(kind, tmp_path, monkeypatch, SIZES) as deployment,
        worker_group(tmp_path, deployment.env, "tests.support.processes.worker_processes:single") as workers,
    ):
        deployment.submit()
        [cancelled] = deployment.tasks
        workers.start()
        while deployment.task(cancelled).checkpoint is None:
            time.sleep(0.02)
        before = deployment.files.served
        ended = service.cancel(cancelled, table=deployment.services.table, now=time.time())
        deployment.submit()
        deployment.wait(seconds=30)  # for the second one, which the same worker takes when it is free
        assert deployment.task(cancelled) == ended
        assert ended.status is Status.CANCELLED
        [kept] = deployment.tasks.keys() - {cancelled}
        assert deployment.task(kept).md5 == deployment.files.digests[1]
        # One interval until the checkpoint that is refused, and a second's worth for a machine that is busy.
        assert deployment.files.served - before - SIZES[1] <= INTERVAL_BYTES + INTERVAL_BYTES / CHECKPOINT_SECONDS
        assert deployment.mails().keys() == {kept}
        assert_lawful(deployment.audit.writes())
