"""Entry points for the fork server: the self-hosted worker, unchanged or with a log of its writes."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost import slots, worker
from urlsum import wiring
from urlsum.worker import notify

if TYPE_CHECKING:
    from urlsum.tables import TaskTable
    from urlsum.task import Task
    from urlsum.wiring import Services


# Time for an email, scaled down like the other times: the outbox needs milliseconds, not half a minute.
MAIL_SECONDS = 1.0


def single() -> None:
    """Run a worker that hashes one file at a time, so that one kill affects one task."""
    slots.SLOTS = 1
    notify.LEASE_SECONDS = MAIL_SECONDS
    worker.main()


def watched() -> None:
    """Run a worker with all its slots, and log its accepted writes with their process in the file WRITES."""
    notify.LEASE_SECONDS = MAIL_SECONDS
    path = os.environ["WRITES"]
    wire = wiring.wire

    def watched_wire(*args: Any, **kwargs: Any) -> Services:
        services = wire(*args, **kwargs)
        return replace(services, table=WatchedTable(services.table, path))

    wiring.wire = watched_wire
    worker.main()


class WatchedTable:
    """A wrapper of a table that logs every accepted save."""

    def __init__(self, table: TaskTable, path: str) -> None:
        self._table = table
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.add, self.get, self.remove = table.add, table.get, table.remove
        self.due, self.purge, self.unfinished = table.due, table.purge, table.unfinished
        self.overdue = table.overdue

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        begun = time.time()
        self._table.save(task, over=over, lease_before=lease_before)
        note = {
            "holder": f"{os.getpid()}/{threading.get_ident()}",
            "email": threading.current_thread().name == f"email {task.id}",
            "id": task.id,
            "fence": task.fence,
            "claim": task.fence > over.fence,
            "begun": begun,
            "ended": time.time(),
            "lease_until": task.lease_until,
        }
        os.write(
            self._file, json.dumps(note).encode() + b"\n"
        )  # a single write, so that lines of several processes do not mix
