"""One reading for many: which task reads a version of a file, and what its reading brought.

A record for each version holds one of three things: the task that reads it, its result, or that nothing about it can
be proven. The record of a reader needs no lease of its own: the reader's row has one, so a reader that failed, was
cancelled or died is seen there, and the next task to look takes its place, by a conditional write.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from urlsum.errors import TableUnavailable, TaskNotFound
from urlsum.tables import Change, change
from urlsum.task import Representation, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.settings import Settings
    from urlsum.tables import Records, TaskStore
    from urlsum.task import Task

log = logging.getLogger(__name__)

# A file up to this length is simply read, without a record. Its reading costs the origin its bytes and the closing
# proof's 128 KiB. To recognize it costs 144 KiB of samples and some 64 to 200 KiB of the first response, which are on
# their way before it can be closed. So only here a reading begins to cost twice as much.
SMALL_BYTES = 512 * 1024
# Seconds between two looks at the reader. With the upper bound, a week of waiting (MAX_TASK_HOURS) is 10,000 looks.
FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 60.0
# A look comes when the reader's rate says that it will be done, but after this share of the waiting so far at the
# latest: rates change, and a task should not notice the end more than a tenth late.
LOOK_SHARE = 0.1
# How long a reader may wait for its next turn. Behind many slow origins, continuations have one every few minutes.
TURN_SECONDS = 600.0
# The large files of this many URLs are remembered, some hundred bytes each.
MOST_REMEMBERED = 1000

DAY = 24 * 3600


class Wait(Struct, frozen=True):
    """Another task is reading the version; the next look is due after ``seconds``."""

    seconds: float


class Known(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="known"):
    """The result of a reading that ``task`` finished at ``computed_at``, seconds since the epoch.

    ``fingerprint`` is what the source recognizes the version by, ``representation`` a dump.
    """

    task: str
    md5: str
    size: int
    computed_at: float
    fingerprint: str
    representation: str


class Reader(msgspec.Struct, frozen=True, tag="reader"):
    """``task`` is reading the version."""

    task: str


class Unproven(msgspec.Struct, frozen=True, tag="unproven"):
    """The version was read, but nothing proves it: every task reads it, and none waits for another."""


Entry = Known | Reader | Unproven
Found = Known | Wait


class ReuseDeps(Protocol):
    """What reuse needs of ``urlsum.wiring.Services``."""

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        ...

    @property
    def table(self) -> TaskStore:
        """Where the tasks are kept."""
        ...

    @property
    def records(self) -> Records | None:
        """Where readings are announced; None if there is but one task."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Wall clock: seconds since the epoch."""
        ...


# URL → file_key of the large files that this process met last.
_last_seen: dict[str, str] = {}


def last_seen(url: str) -> str | None:
    """The ``file_key`` of the file that this process found at ``url``, if that was large; it may have changed since.

    A task that begins with it asks the origin only for the samples. Without it, the first response is closed once its
    head is known, and up to some megabytes of it are on their way by then: as much as an old connection's window.
    """
    return _last_seen.get(_file(url))


def _file(url: str) -> str:
    return url.partition("#")[0]


def announced(task: Task, deps: ReuseDeps, *, rejected: Known | None = None) -> Found | None:
    """What is known of the version that ``task`` wants; None if this task is to read it, and the others wait.

    Before the file is opened, the version may be another by now: then the task announces that one as well, and those
    that wait see that it has moved on. ``rejected`` is a result that no longer holds. Raises TableUnavailable.
    """
    if deps.records is None or task.file_key is None:
        return None
    now = deps.clock()
    _last_seen[_file(task.url)] = task.file_key
    while len(_last_seen) > MOST_REMEMBERED:
        _last_seen.pop(next(iter(_last_seen)), None)

    def decide(value: str | None) -> tuple[Change | None, Found | None]:
        entry = _entry(value)
        if entry == Reader(task.id) or isinstance(entry, Unproven):
            return None, None
        found = None if value is None or entry == rejected else _found(value, task, deps, now)
        return (None, found) if found else (_change(Reader(task.id), deps, now), None)

    return change(deps.records, _record(task.file_key), decide, now=now)


def reader_of(task: Task, deps: ReuseDeps) -> Task | None:
    """The task whose reading ``task`` waits for, for people who watch; None if there is none. Raises TableUnavailable.

    It costs two reads, and none for a task that has not met its file yet.
    """
    if deps.records is None or task.file_key is None:
        return None
    now = deps.clock()
    stored = deps.records.read(_record(task.file_key))
    if stored is None or stored.expires_at <= now:
        return None
    return _reader(_entry(stored.value), task, deps, now)


def remember(task: Task, deps: ReuseDeps, *, fingerprint: str | None, done: Task) -> None:
    """Record that ``task`` is about to end as ``done``, for the tasks that wait.

    Before the result is committed: the digest is proven, and a waiting task that found the reader done and no result
    would read the file again. A table that does not respond costs only the reuse.
    """
    if deps.records is None or task.file_key is None:
        return
    now = deps.clock()
    entry: Entry = Unproven()
    if fingerprint and done.md5 is not None and done.size is not None and done.representation is not None:
        entry = Known(
            task=task.id,
            md5=done.md5,
            size=done.size,
            computed_at=now,
            fingerprint=fingerprint,
            representation=done.representation.dump(),
        )
    try:
        change(deps.records, _record(task.file_key), lambda _: (_change(entry, deps, now), None), now=now)
    except TableUnavailable as exc:
        log.warning("task %s: its reading cannot be used by others: %s", task.id, exc)


def reused(task: Task, known: Known, facts: Representation, now: float) -> Task:
    """``task``, done with the result ``known``; ``facts`` are those of the responses that confirmed it."""
    # Where the redirects ended this time: such a URL may be signed for one client.
    complete = replace(facts.filled_from(Representation.load(known.representation)), final_url=facts.final_url)
    return task.done(
        known.md5,
        known.size,
        now,
        representation=complete,
        # Its own reading, if it was killed just before it could commit the result.
        reused_at=None if known.task == task.id else known.computed_at,
    )


def _found(value: str, task: Task, deps: ReuseDeps, now: float) -> Found | None:
    entry = _entry(value)
    if isinstance(entry, Known):
        return entry
    reader = _reader(entry, task, deps, now)
    return None if reader is None else Wait(_next_look(reader, task, now))


def _reader(entry: Entry | None, task: Task, deps: ReuseDeps, now: float) -> Task | None:
    """The task of ``entry`` if it is another one, and worth waiting for."""
    if not isinstance(entry, Reader) or entry.task == task.id:
        return None
    try:
        reader = deps.table.get(entry.task)
    except TaskNotFound:
        return None
    return reader if _progresses(reader, task, now, deps.settings.lease_seconds) else None


def _progresses(reader: Task, task: Task, now: float, lease_seconds: float) -> bool:
    """Whether it is worth waiting for ``reader``."""
    # It may have met another version meanwhile.
    if reader.complete or reader.file_key not in (None, task.file_key):
        return False
    if reader.status is Status.QUEUED and reader.error is not None and now - reader.updated_at > lease_seconds:
        return False  # a long back-off, which the origin may have meant for one request only
    if reader.lease_until:
        return reader.lease_until > now - lease_seconds  # else its worker died, as the sweep judges
    return (reader.due_at or 0.0) > now - TURN_SECONDS  # else its message was lost


def _next_look(reader: Task, task: Task, now: float) -> float:
    seconds = (now - task.created_at) * LOOK_SHARE
    if reader.size is not None and reader.rate:
        seconds = min(seconds, (reader.size - reader.offset) / reader.rate)
    return min(max(seconds, FIRST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)


def _record(file_key: str) -> str:
    return f"file:{file_key}"


def _entry(value: str | None) -> Entry | None:
    """The content of a record; None if a version that this one does not know has written it."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Entry)
    except msgspec.MsgspecError:
        return None


def _change(entry: Entry, deps: ReuseDeps, now: float) -> Change:
    return Change(msgspec.json.encode(entry).decode(), now + deps.settings.task_ttl_days * DAY)
