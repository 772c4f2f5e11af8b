"""Hashing in this process: runs a worker's slices in sequence on a task that is kept in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from urlsum.cli import console
from urlsum.cli.outcome import Outcome
from urlsum.cli.state import StateFile
from urlsum.deadline import Deadline
from urlsum.errors import Blocked, FailureCode, InvalidUrl
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource, no_lease
from urlsum.task import Task
from urlsum.text import remarks
from urlsum.text.format import human_bytes, shown_url
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from urlsum.cli.interrupt import Stop
    from urlsum.cli.outcome import HashRequest
    from urlsum.cli.progress import Meter
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint, Representation
    from urlsum.worker.source import Source, Stream

# Only the user ends this process, so a slice needs no deadline. Not infinity, which threads cannot wait for.
FOREVER_SECONDS = 10 * 365 * 86_400.0
# The code of a URL that cannot be parsed, besides those of urlsum.errors.FailureCode.
INVALID_URL = "invalid_url"


class LocalHasher:
    """Hashes URLs one after another in this process. With ``state`` there must be only one URL."""

    def __init__(
        self,
        settings: Settings,
        *,
        stop: Stop,
        meter: Meter,
        state: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._meter = meter
        self._state = state
        self._sleep = sleep
        self._guard = Guard(settings)
        self._source = Metered(HttpSource(settings, self._guard), meter)
        self._table: OneTask | None = None

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order. Raises Interrupted, and StateError if the state file is unusable."""
        for each in hash_requests:
            yield self._digest(each.url)

    def resume_hint(self) -> str:
        """How much of the interrupted work is saved, and how to resume it."""
        if self._state is None:
            return "progress lost; use --state FILE to make a single URL resumable"
        if self._table is None or not self._table.kept:
            return "nothing had been read yet"
        return f"{human_bytes(self._table.kept)} saved in {self._state}; run the same command again to resume"

    def _digest(self, url: str) -> Outcome:
        self._stop.check()
        try:
            self._guard.inspect(url)
        except InvalidUrl as exc:
            return Outcome(url, code=INVALID_URL, message=str(exc))
        except Blocked as exc:
            return Outcome(url, code=exc.code, message=self._failure_text(url, exc.code, str(exc)))
        state = StateFile(self._state, url) if self._state is not None else None
        self._table = OneTask(_task(url, state.load() if state else None), state)
        task = self._run_slices(self._table)
        if task.md5 is not None:
            self._table.forget()
            return Outcome(url, task.md5, notes=_notes(task))
        if task.error is None:
            raise ValueError(f"{url} failed without a reason")
        return Outcome(url, code=task.error.code, message=self._failure_text(url, task.error.code, task.error.message))

    def _run_slices(self, table: OneTask) -> Task:
        deps = _Deps(self._settings, table, self._source)
        while True:
            with self._stop.gracefully():
                task = run_slice(
                    table.task.id, deps, deadline=Deadline.after(FOREVER_SECONDS, is_cancelled=self._stop.requested)
                )
            if task.complete:
                return task
            self._stop.check()
            wait = max((task.due_at or 0.0) - time.monotonic(), 0.0)
            if task.error is not None:
                reason = self._without_url(task.url, task.error.message)
                console.failure(task.url, task.error.code, f"{reason}; trying again in {wait:.0f} s")
            self._sleep(wait)

    def _failure_text(self, url: str, code: FailureCode, message: str) -> str:
        text = console.with_advice(code, self._without_url(url, message))
        if self._state is not None and self._table is not None and self._table.kept:
            text += f"; {human_bytes(self._table.kept)} saved in {self._state} for the next run"
        return text

    def _without_url(self, url: str, message: str) -> str:
        """``message`` without its leading URL, which the output line already names."""
        return message.removeprefix(f"{shown_url(url)}: ")


@dataclass(frozen=True, slots=True)
class _Deps:
    """The dependencies of a slice, see ``urlsum.worker.slice.SliceDeps``."""

    settings: Settings
    table: OneTask
    source: Source
    clock: Callable[[], float] = time.monotonic  # no table outlives the process
    monotonic: Callable[[], float] = time.monotonic


class OneTask:
    """The TaskStore of one task, in memory. Its checkpoints are also written to the state file, if there is one.

    ``kept`` is the offset in bytes of the checkpoint in that file.
    """

    def __init__(self, task: Task, state: StateFile | None) -> None:
        self.task = task
        self.kept = task.offset
        self._state = state

    def get(self, task_id: str) -> Task:  # noqa: ARG002 - there is only one
        """The task."""
        return self.task

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:  # noqa: ARG002 - the port's
        """Replace the task. No other process can have changed it meanwhile."""
        before, self.task = self.task, task
        if task.restarts > before.restarts:
            console.tell(f"{console.printable(task.url)}: the file changed; reading it from the start again")
            self.forget()
        elif task.checkpoint is not None and task.checkpoint != before.checkpoint:
            self._keep(task.checkpoint, task.representation)

    def forget(self) -> None:
        """Remove the state file."""
        if self._state is not None:
            self._write(self._state.remove, 0)

    def _keep(self, checkpoint: Checkpoint, representation: Representation | None) -> None:
        state = self._state
        if state is not None:
            self._write(lambda: state.save(checkpoint, representation), checkpoint.offset)

    def _write(self, action: Callable[[], None], offset: int) -> None:
        try:
            action()
        except OSError as exc:
            # A full disk must not end hours of hashing that needs no disk.
            console.tell(f"cannot write the state file: {exc}")
        else:
            self.kept = offset


class Metered:
    """A Source that reports the progress of its streams to a meter."""

    def __init__(self, source: Source, meter: Meter) -> None:
        self._source = source
        self._meter = meter

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Stream:
        """Open the file. Raises the errors of the source."""
        stream = self._source.open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)
        return _MeteredStream(stream, url, self._meter)


class _MeteredStream:
    def __init__(self, stream: Stream, url: str, meter: Meter) -> None:
        self.offset = stream.offset
        self.size = stream.size
        self._stream = stream
        self._meter = meter
        self._at = stream.offset
        meter.begin(url, self._at, self.size)

    @property
    def validator(self) -> str:
        return self._stream.validator

    @property
    def reread(self) -> int:
        return self._stream.reread

    @property
    def representation(self) -> Representation:
        return self._stream.representation

    def read(self) -> memoryview:
        piece = self._stream.read()
        self.size = self._stream.size
        self._at += len(piece)
        self._meter.move(self._at, self.size)
        return piece

    def close(self) -> None:
        self._meter.end()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _notes(task: Task) -> tuple[str, ...]:
    found_at = remarks.final_url(task)
    return tuple(remarks.with_redirect(note.code, note.message, task.url, found_at) for note in remarks.notes(task))


def _task(url: str, saved: tuple[Checkpoint, Representation | None] | None) -> Task:
    # The monotonic clock, as for claims and waits: no table outlives this process.
    now = time.monotonic()
    checkpoint, representation = saved or (None, None)
    return Task(
        id=url,
        url=url,
        created_at=now,
        updated_at=now,
        expires_at=0,
        checkpoint=checkpoint,
        representation=representation,
    )
