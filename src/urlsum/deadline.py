"""When work must stop: a time on a monotonic clock, or a cancellation that comes before it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable


def never() -> bool:
    """The cancellation of work that nobody cancels."""
    return False


class Deadline(Struct, frozen=True):
    """``at`` is in seconds on ``clock``. ``is_cancelled`` may be called from any thread, and stays true once it is."""

    at: float
    clock: Callable[[], float] = time.monotonic
    is_cancelled: Callable[[], bool] = never

    @classmethod
    def after(
        cls, seconds: float, *, clock: Callable[[], float] = time.monotonic, is_cancelled: Callable[[], bool] = never
    ) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock, is_cancelled)

    def remaining(self) -> float:
        """Seconds left; 0.0 once it has expired."""
        return 0.0 if self.is_cancelled() else max(self.at - self.clock(), 0.0)

    @property
    def expired(self) -> bool:
        """Whether the time has come, or the work was cancelled."""
        return self.is_cancelled() or self.clock() >= self.at

    @property
    def cancelled(self) -> bool:
        """Whether the work was cancelled: what it did not achieve is nobody's fault."""
        return self.is_cancelled()

    def ended(self, limit: Deadline) -> bool:
        """Whether a wait up to ``limit``, made by ``within``, ended because of the deadline and not of the seconds."""
        return limit.at == self.at or self.cancelled

    def within(self, seconds: float) -> Deadline:
        """The earlier of it and ``seconds`` from now; the same cancellation ends both."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock, self.is_cancelled)
