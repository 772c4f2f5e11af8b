"""A task is cancelled while a real worker reads its file: the worker stops within a checkpoint and mails nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.deployed import CHECKPOINT_SECONDS, INTERVAL_BYTES, stage
from tests.support.processes.fleet import fleet
from tests.support.stores.audit import assert_lawful
from urlsum import service
from urlsum.task import Status

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [30_000_000, 100_000]  # at the origin's pace the first takes five seconds


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["sqlite", "mysql", "aws"])
def test_the_worker_stops_within_one_checkpoint(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        stage(kind, tmp_path, monkeypatch, SIZES) as scene,
        fleet(tmp_path, scene.env, "tests.support.processes.worker_processes:single") as workers,
    ):
        scene.submit()
        [cancelled] = scene.tasks
        workers.start()
        while scene.task(cancelled).checkpoint is None:
            time.sleep(0.02)
        before = scene.files.served
        ended = service.cancel(cancelled, table=scene.services.table, now=time.time())
        scene.submit()
        scene.wait(seconds=30)  # for the second one, which the same worker takes when it is free
        assert scene.task(cancelled) == ended
        assert ended.status is Status.CANCELLED
        [kept] = scene.tasks.keys() - {cancelled}
        assert scene.task(kept).md5 == scene.files.digests[1]
        # One interval until the checkpoint that is refused, and a second's worth for a machine that is busy.
        assert scene.files.served - before - SIZES[1] <= INTERVAL_BYTES + INTERVAL_BYTES / CHECKPOINT_SECONDS
        assert scene.mails().keys() == {kept}
        assert_lawful(scene.audit.writes())
