"""What the zygote runs: the self-hosted worker, as it is or with an eye on its writes."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost import worker
from urlsum import wiring
from urlsum.worker import notify

if TYPE_CHECKING:
    from urlsum.tables import TaskTable
    from urlsum.task import Task
    from urlsum.wiring import Services


# How long a mail is given, scaled down like the other times: the outbox takes milliseconds, not half a minute.
MAIL_SECONDS = 1.0


def single() -> None:
    """Run a worker that takes one file at a time, as on Lambda: so one kill hits one task."""
    worker.SLOTS = 1
    notify.LEASE_SECONDS = MAIL_SECONDS
    worker.main()


def watched() -> None:
    """Run a worker with all its slots whose accepted writes are appended to the file WRITES, with who made them."""
    notify.LEASE_SECONDS = MAIL_SECONDS
    path = os.environ["WRITES"]
    wire = wiring.wire

    def watched_wire(*args: Any, **kwargs: Any) -> Services:
        services = wire(*args, **kwargs)
        return replace(services, table=WatchedTable(services.table, path))

    wiring.wire = watched_wire
    worker.main()


class WatchedTable:
    """The table it is made with; every save that was accepted is noted."""

    def __init__(self, table: TaskTable, path: str) -> None:
        self._table = table
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.add, self.get, self.remove = table.add, table.get, table.remove
        self.due, self.purge = table.due, table.purge

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        begun = time.time()
        self._table.save(task, over=over, lease_before=lease_before)
        note = {
            "holder": f"{os.getpid()}/{threading.get_ident()}",
            "id": task.id,
            "fence": task.fence,
            "claim": task.fence > over.fence,
            "begun": begun,
            "ended": time.time(),
            "lease_until": task.lease_until,
        }
        os.write(self._file, json.dumps(note).encode() + b"\n")  # one write, so lines of processes do not mix
