"""Ctrl-C and SIGTERM: the slice writes a checkpoint before it ends, so that nothing is read twice."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from urlsum.errors import DeadlineReached

if TYPE_CHECKING:
    from collections.abc import Iterator

# Time for a pending read to return. An origin that sends data needs milliseconds. A silent origin is not waited for,
# because a person is waiting.
GRACE_SECONDS = 1.0


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end. A BaseException, so that no handler of failures swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class Stop:
    """Turns the first signal into a cancellation and later signals into Interrupted. A context manager."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._finishing = False

    def requested(self) -> bool:
        """Whether a signal arrived: the cancellation of a ``Deadline``."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted if a signal arrived."""
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
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_grace_expired)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, signum: int, _frame: object) -> None:
        if self.signum is not None or not self._finishing:
            raise Interrupted(signum)
        self.signum = signum
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _on_grace_expired(self, _signum: int, _frame: object) -> None:
        # Ends the pending read. The bytes before it are hashed completely, so the slice can still write a checkpoint.
        if self._finishing:
            raise DeadlineReached
