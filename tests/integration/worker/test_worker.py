"""The self-hosted worker with many small files: SQLite, threads, connections that are used again."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.slots import SLOTS, Worker
from tests.integration.origin.conftest import UNHURRIED, Serve
from tests.integration.origin.conftest import serve as _serve
from tests.support.origin.origin_server import KEEP, Request, Steps, head
from tests.support.stores.tables import new_task, sqlite_uri
from urlsum.origin.source import HttpSource
from urlsum.setting_values import Networks
from urlsum.settings import Settings
from urlsum.task import Status

if TYPE_CHECKING:
    from pathlib import Path
import pytest

pytestmark = pytest.mark.slow

serve = _serve
FILES = 300


def test_many_small_files_go_through_quickly_over_few_connections(serve: Serve, tmp_path: Path) -> None:
    def script(request: Request) -> Steps:
        return [head("200 OK", f"Content-Length: {len(request.path)}"), request.path.encode(), KEEP]

    origin = serve(script)
    settings = Settings(
        database_uri=sqlite_uri(tmp_path),
        outbox_dir=tmp_path,
        allowed_networks=Networks.read("127.0.0.0/8"),
    )
    worker = Worker(settings)
    source = HttpSource(settings, worker.services.guard, tuning=UNHURRIED)
    worker.services = replace(worker.services, source=source)
    table, now = worker.services.table, time.time()
    tasks = [
        new_task(url=origin.url(f"/{number}"), created_at=now, updated_at=now, due_at=now, expires_at=int(now) + 1000)
        for number in range(FILES)
    ]
    for task in tasks:
        table.add(task)
    running = threading.Thread(target=worker.run)
    started = time.monotonic()
    running.start()
    try:
        while table.due(2**40, 1) and time.monotonic() - started < 60:
            time.sleep(0.05)
        took = time.monotonic() - started
    finally:
        worker.stop()
        running.join(10)
        for slot in worker.slots:
            slot.join()
    for number, task in enumerate(tasks):
        stored = table.get(task.id)
        assert (stored.status, stored.md5) == (Status.DONE, hashlib.md5(f"/{number}".encode()).hexdigest())
        assert stored.fence == 1
    assert len(origin.requests) == FILES
    assert origin.connections <= SLOTS
    # A worker that looked for work only every POLL_SECONDS would take 19 s for these; a busy machine gets its share.
    assert took < 15
