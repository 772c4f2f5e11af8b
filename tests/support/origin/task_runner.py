"""Runs a task against a scripted origin, slice by slice until it ends, without waiting for back-off."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryTaskTable
from urlsum.deadline import Deadline
from urlsum.errors import NothingToDo
from urlsum.origin.guard.guard import Guard
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.source import HttpSource
from urlsum.origin.tuning import DEFAULTS, Tuning
from urlsum.settings import Settings, parse
from urlsum.task import Task
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.guard.dns import Resolver
    from urlsum.origin.guard.guard import Dial

ID = "0e4fac17-0000-4000-8000-000000000004"
# Much less than the 20 s of READ_TIMEOUT that a slice would wait which did not look at its deadline. A busy machine may
# stop a process for seconds.
LATE_SECONDS = 8.0
# Far more than any scripted origin needs: a task with so many slices does not end.
MOST_SLICES = 60


class Recorder(MemoryTaskTable):
    """Records every state that is written, and rejects a second result."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Task] = []

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        super().save(task, over=over, lease_before=lease_before)
        self.writes.append(task)
        assert sum(written.complete for written in self.writes) <= 1


def patient(**changes: object) -> Settings:
    """Settings that allow loopback, with time-outs short enough for a test."""
    values: dict[str, object] = {
        "allowed_networks": "127.0.0.0/8,::1/128",
        "connect_timeout": 1.0,
        "read_timeout": 0.3,
        "min_rate_seconds": 0.4,
        "max_attempts": 3,
        "retry_base_seconds": 0.01,
        **changes,
    }
    return parse(values)


@dataclass
class Worker:
    """Runs the slices of one task. ``delays`` are the skipped waits between slices, in seconds."""

    settings: Settings = field(default_factory=patient)
    resolve: Resolver = lambda host: ["127.0.0.1"]
    dial: Dial | None = None
    tuning: Tuning = DEFAULTS
    controller: Callable[..., ConcurrencyController] = ConcurrencyController
    slice_seconds: float = 20.0
    between: Callable[[Task], None] = lambda task: None
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = Recorder()
        self.origin = HttpSource(
            self.settings,
            Guard(self.settings, resolve=self.resolve, dial=self.dial),
            wall_clock=self.now,
            tuning=self.tuning,
            controller=self.controller,
        )
        self._skipped = 0.0

    def now(self) -> float:
        return time.time() + self._skipped

    @property
    def task(self) -> Task:
        """The last state of the task that was written."""
        return self.table.get(ID)

    def run(self, url: str, *, origin: HttpSource | None = None) -> Task:
        """Run the task of ``url`` until it is final; return its last state."""
        now = self.now()
        expires_at = int(now) + 30 * 86400  # TASK_TTL_DAYS
        self.table.add(Task(id=ID, url=url, created_at=now, updated_at=now, due_at=now, expires_at=expires_at))
        deps = Deps(self.settings, self.table, origin or self.origin, self.now, time.monotonic)
        for _ in range(MOST_SLICES):
            task = self._slice(deps)
            if task.complete:
                assert task == self.task
                with pytest.raises(NothingToDo):
                    run_slice(ID, deps, deadline=Deadline.after(self.slice_seconds))
                return task
            assert task.due_at is not None
            self.delays.append(max(0.0, task.due_at - self.now()))
            # The claim needs a time strictly after the lease and not before ``due_at``.
            self._skipped += self.delays[-1] + 0.001
            self.between(task)
        raise AssertionError(f"not finished after {MOST_SLICES} slices: {task}")

    def _slice(self, deps: Deps) -> Task:
        deadline = Deadline.after(self.slice_seconds)
        task = run_slice(ID, deps, deadline=deadline)
        assert time.monotonic() < deadline.at + LATE_SECONDS, "the slice outlived its deadline"
        assert task.lease_until == 0.0, "nobody works on the task, yet it is held"
        return task
