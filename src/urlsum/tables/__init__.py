"""The ports to the task table and to the records beside it; each adapter serves one technology."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from urlsum.errors import RecordChanged, TableUnavailable, UrlsumError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urlsum.task import Task

Result = TypeVar("Result")

# Tries of a change that other writers overtake. The pauses double from 1 ms, so the last ones together take a second,
# in which a hundred writers of the same record get their turn.
CHANGE_TRIES = 12
FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.25

# The expiry of a record that is kept for good: the end of the year 9999, the last that datetime and SQL can show.
NEVER = 253_402_300_799


class TaskStore(Protocol):
    """The part of a table that hashing needs: read a task, and write it unless another writer was faster.

    Every method raises TableUnavailable if the store does not respond; the outcome of a write is then unknown.
    """

    def get(self, task_id: str, *, consistent: bool = True) -> Task:
        """The task as last written (a strongly consistent read). Raises TaskNotFound.

        If ``consistent`` is False, it may be the task as it was a moment ago, or the error of a task that was added
        a moment ago: the store may charge half for that. Only what a conditional write confirms, or a consistent read,
        may follow from it.
        """
        ...

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        """Replace ``over``, a task read or written before, by ``task``, in one conditional write.

        The condition: the stored fence and status are those of ``over`` and, if ``lease_before`` is set, the stored
        lease ended before that time (epoch seconds); a claim sets it. Raises LeaseLost otherwise. The write keeps
        attributes that this version does not know, so that a newer version can write to the same table.
        """
        ...


class Overdue(Struct, frozen=True):
    """A task that is overdue, and what a sweep must know to judge it; times as in ``urlsum.task.Task``."""

    id: str
    due_at: float
    lease_until: float
    continued: bool


class TaskTable(TaskStore, Protocol):
    """Keeps the tasks of a service, and refuses stale writes."""

    def add(self, task: Task) -> None:
        """Insert a new task. Raises TaskExists when the id is taken."""
        ...

    def remove(self, task: Task) -> bool:
        """Delete ``task`` if the stored fence and status are still its own; else do nothing and return False."""
        ...

    def due(self, before: float, limit: int, *, continued: bool | None = None) -> list[str]:
        """Ids of at most ``limit`` tasks whose ``due_at`` is not after ``before``, the longest waiting first.

        With ``continued``, only those that are continuations, or only those that are not. A sparse index serves this
        read; it may lag behind the writes by a moment.
        """
        ...

    def overdue(self, before: float, limit: int) -> Iterable[Overdue]:
        """At most ``limit`` tasks whose ``due_at`` is not after ``before``, the longest waiting first.

        It costs a fraction of ``get`` for each task, so that a sweep can look at every one of a long queue. It may lag
        behind the writes by a moment.
        """
        ...

    def unfinished(self, limit: int) -> int:
        """The number of tasks that need more work, or still owe an email; ``limit`` if there are more.

        It counts entries of the same index, at most ``limit`` for each of its partitions, and never the whole table.
        Below half of a large limit the number may be an estimate.
        """
        ...

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` tasks whose ``expires_at`` is past; return their number.

        Does nothing and returns 0 if the store expires items by itself (DynamoDB TTL).
        """
        ...


class Record(Struct, frozen=True):
    """A small value that is shared by all processes, with the version that a conditional write compares.

    ``expires_at`` is in seconds since the epoch. An expired record may still be read until the store deletes it.
    """

    key: str
    value: str
    version: int
    expires_at: int


class Records(Protocol):
    """Keeps small records beside the tasks: counters, leases, and what else all processes share.

    Every method raises TableUnavailable if the store does not respond; the outcome of a write is then unknown.
    """

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        """The record as last written (a strongly consistent read), None if there is none.

        If ``consistent`` is False, it may be the record as it was a moment ago, see ``TaskStore.get``.
        """
        ...

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        """Replace ``over``, the record as read, by ``value`` in one conditional write; None stands for no record.

        Keys are ASCII of at most 200 characters. Values may have at most 60,000 bytes in UTF-8; DynamoDB charges for
        each kilobyte. A ``durable`` write survives a power failure once this returns. Raises RecordChanged when another
        write came between.
        """
        ...

    def purge(self, now: float, limit: int) -> int:
        """Delete at most ``limit`` records whose ``expires_at`` is past; return their number.

        Does nothing and returns 0 if the store expires items by itself (DynamoDB TTL).
        """
        ...


class Change(Struct, frozen=True):
    """The new value of a record and the time (epoch seconds) from which it may be deleted."""

    value: str
    expires_at: float


def change(
    records: Records,
    key: str,
    decide: Callable[[str | None], tuple[Change | None, Result]],
    *,
    now: float,
    durable: bool = False,
    consistent: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Read the record of ``key``, write what ``decide`` makes of its value, and return the result of ``decide``.

    ``decide`` gets None if there is no record or it has expired, and may be called several times: a write that another
    writer overtook is decided again. It returns no Change if nothing is to be written. Raises TableUnavailable.

    If ``consistent`` is False, the first read is an eventually consistent one. The version confirms what is written
    after it; a decision to write nothing, or to raise one of urlsum's errors, is taken again from a consistent read.
    """
    pause = FIRST_PAUSE_SECONDS
    for _ in range(CHANGE_TRIES):
        stored, certain, consistent = records.read(key, consistent=consistent), consistent, True
        try:
            wanted, result = decide(None if stored is None or stored.expires_at <= now else stored.value)
        except UrlsumError:
            if certain:
                raise
            continue
        if wanted is None:
            if certain:
                return result
            continue
        with suppress(RecordChanged):
            records.write(key, wanted.value, over=stored, expires_at=wanted.expires_at, durable=durable)
            return result
        sleep(pause * random.random())  # noqa: S311 - jitter
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise TableUnavailable(f"the record {key} changed too often to be written")
