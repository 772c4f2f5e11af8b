"""Ctrl-C and SIGTERM: what is being read is brought to a checkpoint first, so that nothing is read twice."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from urlsum.errors import DeadlineReached

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a read that is under way may take to come back by itself. An origin that sends anything needs
# milliseconds; a silent one is not waited for, because a person is.
GRACE_SECONDS = 1.0


class Interrupted(KeyboardInterrupt):
    """Somebody wants this process to end; a BaseException, so that no handler of failures keeps it going."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class Stop:
    """Turns the first signal into a cancellation, and every later one into Interrupted. A context manager."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._finishing = False

    def requested(self) -> bool:
        """Whether a signal came: the cancellation of a ``Deadline``."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def gracefully(self) -> Iterator[None]:
        """Within this block the first signal only cancels the deadline, and the work ends by itself."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
        signal.signal(signal.SIGINT, self._asked)
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGALRM, self._insist)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, signum: int, _frame: object) -> None:
        if self.signum is not None or not self._finishing:
            raise Interrupted(signum)
        self.signum = signum
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _insist(self, _signum: int, _frame: object) -> None:
        # Out of a read that waits: what was hashed before it is whole, and the slice still checkpoints it.
        if self._finishing:
            raise DeadlineReached
