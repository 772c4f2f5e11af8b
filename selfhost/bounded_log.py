"""Bounds the log: of records of one cause, one in ten seconds is written, and then how many were left out."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A person who looks at the log sees at once that something is wrong, and an attacker writes 6 lines a minute.
SECONDS = 10.0
# More causes than urlsum and its libraries have. The rest counts as one, so that memory is bounded too.
MOST_CAUSES = 256

Cause = tuple[object, ...]


@dataclass(slots=True)
class _Window:
    ends: float
    example: logging.LogRecord
    left_out: int = 0


class BoundedLog(logging.Filter):
    """A filter for loggers whose records strangers can cause. ``clock`` returns seconds. Safe for threads.

    The cause of a record is its logger, its text before the arguments are filled in, and where its exception was
    raised. ``flush`` must be called now and then: it writes how many records of a cause were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[Cause, _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is the first one of its cause in SECONDS."""
        if getattr(record, "left_out", False):
            return True
        with self._lock:
            cause = _cause(record)
            if cause not in self._windows and len(self._windows) >= MOST_CAUSES:
                cause = ()
            window = self._windows.get(cause)
            if window is None:
                self._windows[cause] = _Window(self._clock() + SECONDS, record)
            else:
                window.left_out += 1
            return window is None

    def flush(self) -> None:
        """Write a line for each cause whose SECONDS are over and which had further records."""
        now = self._clock()
        with self._lock:
            over = [(cause, window) for cause, window in self._windows.items() if window.ends <= now]
            for cause, _ in over:
                del self._windows[cause]
        for _, window in over:
            if window.left_out:
                example = window.example
                logging.getLogger(example.name).log(
                    example.levelno,
                    "%s more in %g s like: %s",
                    window.left_out,
                    SECONDS,
                    example.getMessage().partition("\n")[0].strip(),
                    extra={"left_out": True},
                )


def _cause(record: logging.LogRecord) -> Cause:
    exception = record.exc_info[1] if record.exc_info else None
    place = None
    if exception is not None and (trace := exception.__traceback__) is not None:
        while trace.tb_next is not None:
            trace = trace.tb_next
        place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return (record.name, str(record.msg).partition("\n")[0], type(exception), place)
