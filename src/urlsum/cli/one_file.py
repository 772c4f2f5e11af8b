"""Hashing of one URL in this process: a worker's slices in sequence, on a task that is kept in memory."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from urlsum.cli import console
from urlsum.cli.hosts import QUICK_ATTEMPTS, QUICK_RETRY_SECONDS
from urlsum.cli.metered import Metered
from urlsum.cli.outcome import Outcome, Version
from urlsum.deadline import Deadline
from urlsum.errors import FailureCode, InvalidUrl
from urlsum.task import Task
from urlsum.text import remarks
from urlsum.text.format import human_bytes
from urlsum.text.remarks import Note
from urlsum.worker.slice import run_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urlsum.cli.hosts import Hosts
    from urlsum.cli.journal import Journal
    from urlsum.cli.metered import Streams
    from urlsum.cli.outcome import HashRequest
    from urlsum.cli.progress import FileMeter
    from urlsum.cli.state import StateDirectory, StateFile
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint, Failure, Representation
    from urlsum.worker.source import Source

# Only the user ends this process, so a slice needs no deadline. Not infinity, which threads cannot wait for.
FOREVER_SECONDS = 10 * 365 * 86_400.0
# The code of a URL that cannot be parsed, besides those of urlsum.errors.FailureCode.
INVALID_URL = "invalid_url"
UNREACHABLE = frozenset({FailureCode.DNS, FailureCode.CONNECT})


@dataclass(frozen=True, slots=True)
class Resources:
    """What all files of a run share.

    ``is_cancelled`` ends them all early. ``journal`` keeps results until the run ends; with ``keep_results`` those of
    all files, otherwise only of those that have a checkpoint to lose.
    """

    settings: Settings
    hosts: Hosts
    streams: Streams
    is_cancelled: Callable[[], bool]
    sleep: Callable[[float], None]
    states: StateDirectory | None = None
    journal: Journal | None = None
    keep_results: bool = False
    quick: bool = False
    began: float = field(default_factory=time.time)
    """Epoch seconds. Later results are those of other lines with the same URL."""
    known_results: threading.Event = field(default_factory=threading.Event)
    """Set once the user has read that results of an interrupted run are used."""


class OneFile:
    """Hashes the file at one URL. ``state`` keeps its progress, if there is one."""

    def __init__(
        self, hash_request: HashRequest, shared: Resources, *, meter: FileMeter, state: StateFile | None
    ) -> None:
        self.url = hash_request.url
        self.state = state
        self.table = OneTask(_task(self.url, None), None)
        self._shared = shared
        self.meter = meter
        self.has_result = False
        """Whether the journal has the result."""
        self.found_state = False
        """Whether there was a state file, usable or not."""
        self._attempts = 0

    def run(self) -> Outcome:
        """The outcome, also that of an interrupted run. Raises StateError if the state file is unusable."""
        known = self.known()
        if known is not None:
            self.meter.finish()
            return known
        outcome = self.read()
        self._keep(outcome)
        return outcome

    def read(self) -> Outcome:
        """The outcome of reading the file. Its checkpoint stays until the result is kept. Raises StateError."""
        try:
            return self._read()
        finally:
            self.meter.finish()

    def was_read(self, outcome: Outcome, *, kept: int, found_state: bool) -> Outcome:
        """Take the ``outcome`` of another process, which has left ``kept`` (bytes) in the state file."""
        self.table = OneTask(self.table.task, self.state, self._shared.states)
        self.table.kept, self.found_state = kept, found_state
        self._keep(outcome)
        return outcome

    def _read(self) -> Outcome:
        began = time.monotonic()
        saved = None
        if self.state is not None and (self.state.exists or not self.state.automatic):
            self.found_state = True
            saved = self.state.load()
        if saved is not None and self.state is not None and self.state.automatic:
            console.tell(f"{console.printable(self.url)}: resuming at {human_bytes(saved[0].offset)}")
        self.table = OneTask(_task(self.url, saved), self.state, self._shared.states)
        try:
            task = self._run_slices(self.table)
        except InvalidUrl as exc:
            # Only a list may have such a one.
            hint = "" if "://" in self.url else "; if it is the name of a file, --base URL says where the files are"
            return Outcome(self.url, code=INVALID_URL, message=f"{exc}{hint}")
        return replace(self._outcome(task), seconds=round(time.monotonic() - began, 3), attempts=self._attempts)

    def known(self) -> Outcome | None:
        """What an interrupted run has found."""
        if self._shared.journal is None:
            return None
        result = self._shared.journal.known(self.url)
        outcome = _result(self.url, result) if result is not None else None
        self.has_result = outcome is not None
        if outcome is not None and not self._shared.known_results.is_set():
            self._shared.known_results.set()
            console.tell("resuming: files that the interrupted run has finished are not read again")
        return outcome

    def _keep(self, outcome: Outcome) -> None:
        """Keep the result until it is printed, where that may not come: the other files of the run take their time."""
        if outcome.md5 is None:
            return
        journal = self._shared.journal
        if journal is not None and (self._shared.keep_results or self.table.kept):
            try:
                journal.keep(self.url, dumped(outcome), time.time())
            except OSError as exc:
                cannot_write(exc)
                return
            self.has_result = True
        if self.found_state or self.table.kept:
            self.table.forget()

    def _outcome(self, task: Task) -> Outcome:
        if task.md5 is not None:
            known = task.representation
            return Outcome(
                self.url,
                task.md5,
                notes=_notes(task),
                final_url=remarks.final_url(task),
                name=remarks.name(task),
                content_type=known.content_type if known else None,
                size=task.size,
                version=Version(known.etag, known.last_modified, known.proof) if known else None,
            )
        if task.error is None:
            # Interrupted: the next run takes it up.
            return Outcome(self.url, code=FailureCode.INTERNAL, message="interrupted")
        return Outcome(self.url, code=task.error.code, message=self._failure_text(task.error))

    def _run_slices(self, table: OneTask) -> Task:
        shared = self._shared
        source = Metered(shared.hosts, self.meter, shared.streams)
        while True:
            self._attempts += 1
            task = run_slice(
                table.task.id,
                _Deps(self._settings(), table, source),
                deadline=Deadline.after(FOREVER_SECONDS, is_cancelled=shared.is_cancelled),
            )
            # A service tries a refused address again, so that strangers cannot tell it from a name that does not exist
            # (errors.AddressRefused). Nobody is a stranger here.
            if task.complete or (task.error is not None and task.error.code is FailureCode.BLOCKED):
                if task.error is not None and task.error.code in UNREACHABLE:
                    shared.hosts.give_up(self.url)
                return task
            wait = max((task.due_at or 0.0) - time.monotonic(), 0.0)
            if task.error is not None and not shared.is_cancelled():
                message = console.without_url(task.url, task.error.message)
                reason = console.with_detail(message, task.error.detail)
                console.failure(task.url, task.error.code, f"{reason}; trying again in {wait:.0f} s")
            shared.sleep(wait)
            if shared.is_cancelled():
                return task  # before it is due

    def _settings(self) -> Settings:
        """The settings of the next slice: the patience that its host deserves."""
        settings = self._shared.settings
        if self._shared.hosts.is_given_up(self.url):
            return structs.replace(settings, max_attempts=1)
        if self._shared.quick and self._shared.hosts.is_new(self.url):
            return structs.replace(
                settings,
                max_attempts=min(settings.max_attempts, QUICK_ATTEMPTS),
                retry_base_seconds=min(settings.retry_base_seconds, QUICK_RETRY_SECONDS),
            )
        return settings

    def _failure_text(self, failure: Failure) -> str:
        message = console.without_url(self.url, failure.message)
        text = console.with_advice(failure.code, message, failure.detail)
        if self.table.kept and self.state is not None:
            where = "" if self.state.automatic else f" in {self.state.path}"
            text += f"; {human_bytes(self.table.kept)} saved{where} for the next run"
        return text


@dataclass(frozen=True, slots=True)
class _Deps:
    """The dependencies of a slice, see ``urlsum.worker.slice.SliceDeps``."""

    settings: Settings
    table: OneTask
    source: Source
    clock: Callable[[], float] = time.monotonic  # no table outlives the process
    monotonic: Callable[[], float] = time.monotonic
    records: None = None  # there are no other tasks to share a reading with


class OneTask:
    """The TaskStore of one task, in memory. Its checkpoints are also written to the state file, if there is one.

    ``kept`` is the offset in bytes of the checkpoint in that file.
    """

    def __init__(self, task: Task, state: StateFile | None, directory: StateDirectory | None = None) -> None:
        self.task = task
        self.kept = task.offset
        self._state = state
        self._directory = directory

    def get(self, task_id: str, *, consistent: bool = True) -> Task:  # noqa: ARG002 - there is only one
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

    def _write(self, action: Callable[[], None], offset: int) -> bool:
        try:
            if self._directory is not None:
                self._directory.prepare()
            action()
        except OSError as exc:
            cannot_write(exc)
            return False
        self.kept = offset
        return True


def cannot_write(error: OSError) -> None:
    """Say that progress is not saved. A full disk must not end hours of hashing that needs no disk."""
    console.tell(f"cannot write the state file: {error}")


def at_terminal() -> bool:
    """Whether a person waits for the command."""
    return sys.stderr.isatty()


def _notes(task: Task) -> tuple[Note, ...]:
    notes = remarks.notes(task)
    if not notes:
        return ()
    found_at = remarks.final_url(task)
    return tuple(Note(note.code, remarks.with_redirect(note.code, note.message, task.url, found_at)) for note in notes)


def dumped(outcome: Outcome) -> Mapping[str, Any]:
    """The outcome for ``loaded``. Not asdict(), which copies every value."""
    values: dict[str, Any] = {name: getattr(outcome, name) for name in Outcome.__slots__}
    values["notes"] = [{"code": note.code, "message": note.message} for note in outcome.notes]
    version = outcome.version
    values["version"] = version and {name: getattr(version, name) for name in Version.__slots__}
    return values


def loaded(values: Mapping[str, Any]) -> Outcome:
    """The outcome of ``dumped``. Raises KeyError, TypeError if it is not one of this version."""
    version = values["version"]
    notes = tuple(Note(**note) for note in values["notes"])
    return Outcome(**{**values, "notes": notes, "version": Version(**version) if version else None})


def _result(url: str, values: Mapping[str, Any]) -> Outcome | None:
    """The result that an earlier run has kept for ``url``; None if it is not one of this version."""
    try:
        outcome = replace(loaded(values), url=url)
    except (KeyError, TypeError):
        return None
    return outcome if outcome.md5 else None


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
