"""Writes of several threads to one SQLite file, committed together: one wait for the disk instead of one each.

SQLite lets one writer at a time commit, and a durable commit waits for the disk, which takes milliseconds: a hundred
times as long as the write. So whoever comes while a commit is under way joins the next one. A lone writer waits for
nobody.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa


@dataclass(slots=True, eq=False)
class _Write:
    """``woken`` when it is settled, or when it is its turn to commit the group that it waits in."""

    statement: sa.Executable
    values: Mapping[str, Any] | None
    durable: bool
    woken: threading.Event = field(default_factory=threading.Event)
    settled: bool = False
    rowcount: int = 0
    error: BaseException | None = None


class Commits:
    """Executes single statements, each as atomic as in a transaction of its own. Safe for many threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._busy = False

    def execute(self, statement: sa.Executable, values: Mapping[str, Any] | None = None, *, durable: bool) -> int:
        """Commit ``statement`` and return how many rows it found. Raises what SQLAlchemy does.

        What is ``durable`` outlives the power cord from then on. Anything else outlives the death of this process,
        and reaches the disk with the next that is.
        """
        write = _Write(statement, values, durable)
        with self._lock:
            self._waiting.append(write)
            leads, self._busy = not self._busy, True
        if not leads:
            write.woken.wait()
        if not write.settled:
            self._commit_group()
        if write.error is not None:
            raise write.error
        return write.rowcount

    def _commit_group(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            self._commit(group)
        except Exception as exc:  # noqa: BLE001 - raised in the thread of each write
            for write in group:
                write.error = exc
        finally:
            with self._lock:
                successor = self._waiting[0] if self._waiting else None
                self._busy = successor is not None
            for write in group:
                write.settled = True
                write.woken.set()
            if successor is not None:
                successor.woken.set()

    def _commit(self, group: list[_Write]) -> None:
        # Under WAL, NORMAL leaves the log to the operating system, FULL waits until the disk has it: all of it, with
        # what was left before.
        level = "FULL" if any(write.durable for write in group) else "NORMAL"
        with self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                for write in group:
                    try:
                        write.rowcount = connection.execute(write.statement, write.values).rowcount
                    except IntegrityError as exc:  # this statement's own, which SQLite takes back alone
                        write.error = exc
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                # The pool must not hand on a connection that may still hold the file's lock.
                connection.invalidate()
                raise
