"""Hash one URL in slices, as the worker does: `python -m bench.slices FOLDER URL MD5 [SIZE]`.

With SIZE, there is a checkpoint every 5 s and, after half of SIZE, a deadline after which a second slice resumes.
Without SIZE, there is no checkpoint. Prints wall seconds, CPU seconds and the number of checkpoints.
"""

from __future__ import annotations

import math
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from selfhost.migrate import upgrade
from urlsum.cli.metered import Metered
from urlsum.cli.progress import NoFileMeter
from urlsum.deadline import Deadline
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.settings import load
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Task
from urlsum.worker import slice as slice_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.settings import Settings
    from urlsum.task import Checkpoint

CHECKPOINT_SECONDS = 5.0
# Longer than any run.
NEVER_SECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Deps:
    """The dependencies of a slice."""

    settings: Settings
    table: SqlTaskTable
    source: Metered
    monotonic: Callable[[], float]
    clock: Callable[[], float] = time.time
    records: None = None


class CountingTable(SqlTaskTable):
    """Counts the checkpoints that are saved."""

    count = 0
    last: Checkpoint | None = None

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Save the task, and count its checkpoint if that is new."""
        super().save(task, over=over, lease_before=lease_before)
        if task.checkpoint is not None and task.checkpoint != self.last:
            self.last = task.checkpoint
            self.count += 1


class Clock(NoFileMeter):
    """Monotonic seconds until ``half`` bytes are read; afterwards infinity, so that every deadline has passed."""

    def __init__(self, half: float) -> None:
        self.half = half
        self._at = 0

    def __call__(self) -> float:
        """The time in seconds."""
        return math.inf if self._at >= self.half else time.monotonic()

    def move(self, at: int, total: int | None) -> None:  # noqa: ARG002 - the meter's
        """Record the offset."""
        self._at = at


def main(folder: str, url: str, expected: str, size: str = "") -> None:
    """Run the slices and print their times."""
    uri = f"sqlite:///{Path(folder) / 'slices.db'}"
    upgrade(uri)
    table = CountingTable(uri)
    interval = CHECKPOINT_SECONDS if size else NEVER_SECONDS
    settings = structs.replace(load(), checkpoint_seconds=interval, lease_seconds=interval + 100)
    if not size:
        slice_module.CHECKPOINT_BYTES, slice_module.FIRST_CHECKPOINT_SECONDS = 2**62, NEVER_SECONDS
    clock = Clock(int(size) / 2 if size else math.inf)
    source = Metered(HttpSource(settings, Guard(settings), clock=clock), clock)
    deps = Deps(settings, table, source, clock)
    now = time.time()
    task = Task(id=str(uuid.uuid4()), url=url, created_at=now, updated_at=now, due_at=now, expires_at=int(now) + 9999)
    table.add(task)
    wall, cpu = time.perf_counter(), time.process_time()
    task = slice_module.run_slice(task.id, deps, deadline=Deadline.after(NEVER_SECONDS))
    if size:
        if task.complete or not task.offset:
            raise SystemExit(f"the first slice did not end half-way: {task}")
        clock.half = math.inf
        task = slice_module.run_slice(task.id, deps, deadline=Deadline.after(NEVER_SECONDS))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if task.md5 != expected:
        raise SystemExit(f"wrong or no digest: {task}")
    print(wall, cpu, table.count)


if __name__ == "__main__":
    main(*sys.argv[1:])
