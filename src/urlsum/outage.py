"""Outages: whether a store or a mail system works, as its last call showed, and what the log says about it.

An outage is one line when it begins, one in LINE_SECONDS with the number of failures while it lasts, and one when it is
over, however many requests and workers meet it.
"""

from __future__ import annotations

import logging
import mmap
import threading
import time
from enum import IntFlag
from typing import TYPE_CHECKING

from urlsum.errors import Unavailable, UrlsumError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Cells: TypeAlias = "list[float] | memoryview[float]"

log = logging.getLogger(__name__)

# A person who looks at the log sees at once that something is wrong, and a day of outage is at most 2 MB.
LINE_SECONDS = 10.0

# The cells of the state: when the next line may come (monotonic), which calls fail, since when, how many failed in all
# and since the last line, and whether the log has a line that awaits "works again".
NEXT_LINE, FAILING, SINCE, FAILURES, UNSAID, SAID = range(6)
CELLS = 6


class Calls(IntFlag):
    """Kinds of calls. A store whose disk is full answers reads while every write fails."""

    READ = 1
    WRITE = 2


class Outage:
    """The state of one store or mail system in this process. Safe for threads; ``clock`` is monotonic."""

    def __init__(self, name: str, cells: Cells | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._cells: Cells = [0.0] * CELLS if cells is None else cells
        self._clock = clock
        self._lock = threading.Lock()
        self.read = Watch(self, Calls.READ)
        self.write = Watch(self, Calls.WRITE)

    @property
    def failing(self) -> Calls:
        """The kinds of calls whose last one failed."""
        return Calls(int(self._cells[FAILING]))

    def failed(self, error: Exception, calls: Calls = Calls.WRITE) -> None:
        """Record that a call failed, and log it unless a line about this outage is less than LINE_SECONDS old."""
        with self._lock:
            cells, now = self._cells, self._clock()
            if not cells[FAILING]:
                cells[SINCE], cells[FAILURES] = now, 0
            cells[FAILING] = int(cells[FAILING]) | calls
            cells[FAILURES] += 1
            unsaid = int(cells[UNSAID])
            says = now >= cells[NEXT_LINE]
            cells[UNSAID] = 0 if says else unsaid + 1
            if says:
                cells[NEXT_LINE], cells[SAID] = now + LINE_SECONDS, 1
        if isinstance(error, Unavailable):
            error.reported = True
        if says:
            log.warning("%s%s", error, f" ({unsaid} more failures since the last such line)" if unsaid else "")

    def answered(self, calls: Calls = Calls.WRITE) -> None:
        """Record that a call succeeded; the end of an outage that the log knows is logged."""
        # Nearly every call to a store ends here; the operators of a flag take longer than all the rest of it.
        if not self._cells[FAILING] or not int(self._cells[FAILING]) & calls:
            return
        with self._lock:
            cells = self._cells
            cells[FAILING] = int(cells[FAILING]) & ~calls
            if cells[FAILING] or not cells[SAID]:
                return
            cells[SAID] = cells[UNSAID] = 0
            failures, seconds = int(cells[FAILURES]), self._clock() - cells[SINCE]
        log.warning("%s works again: %d failures in %.0f s", self.name, failures, seconds)


class Watch:
    """A block that is one call to a store: ``with outage.write: …``. May be entered by many threads at once."""

    def __init__(self, outage: Outage, calls: Calls) -> None:
        self._outage = outage
        self._calls = calls

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Record how the call ended. A conflict or a missing task is an answer; a defect says nothing of the store."""
        if isinstance(error, Unavailable):
            self._outage.failed(error, self._calls)
        elif error is None or isinstance(error, UrlsumError):
            self._outage.answered(self._calls)


class Outages:
    """The outages of a process: of its table, its queue and its mail system."""

    def __init__(self, cells: Cells | None = None) -> None:
        cells = [0.0] * (3 * CELLS) if cells is None else cells
        self.table = Outage("the table", cells[:CELLS])
        self.queue = Outage("the queue", cells[CELLS : 2 * CELLS])
        self.mail = Outage("the mail system", cells[2 * CELLS :])


def shared() -> Outages:
    """Outages that forked children share with this process: RQ runs each job in a process of its own."""
    return Outages(memoryview(mmap.mmap(-1, 3 * CELLS * 8)).cast("d"))
