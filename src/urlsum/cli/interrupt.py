"""Ctrl-C and SIGTERM: each slice writes a checkpoint before it ends, so that nothing is read twice."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

# How often a wait looks for a signal: short enough that Ctrl-C seems immediate. Windows interrupts no lock for a
# signal, so a thread must look by itself.
POLL_SECONDS = 0.1


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
        """Whether a signal arrived: the cancellation of a ``Deadline``. Any thread may call this."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted if a signal arrived."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def gracefully(self) -> Iterator[None]:
        """Within this block the first signal only cancels the deadline, and the work of other threads ends by itself.

        Raises Interrupted on the second signal.
        """
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._before:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, signum: int, _frame: object) -> None:
        if self.signum is not None or not self._finishing:
            raise Interrupted(signum)
        self.signum = signum
