"""A circuit breaker for the mail system: one that fails is tried once a minute, and not by every email."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from urlsum.errors import MailError, MailSystemDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.mail import Letter, Mailer
    from urlsum.outage import Outage

# As long as the first wait of an email that could not be sent: the next one to try is often the one that failed.
OPEN_SECONDS = 60.0


class BreakerMailer:
    """A ``Mailer`` that passes emails to another one, and refuses them for OPEN_SECONDS after that one was down.

    Then a single email is tried, and the others are refused until it has ended. A process has one mail system, so this
    is a breaker for each server. Safe for threads.
    """

    def __init__(
        self,
        mailer: Mailer,
        outage: Outage,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self._mailer = mailer
        self._outage = outage
        self._monotonic = monotonic
        self._open_seconds = open_seconds
        self._lock = threading.Lock()
        self._down: MailSystemDown | None = None
        self._next_try = 0.0
        self._trying = False

    def prepare(self) -> None:
        """Have the other mailer make its client now, if it would do so with the first email."""
        if make := getattr(self._mailer, "prepare", None):
            make()

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Send ``letter``, see the port. Raises MailSystemDown at once while the breaker is open."""
        with self._admitted():
            try:
                self._mailer.send(letter, hold=hold)
            except MailSystemDown as down:
                self._open(down)
                raise
            except MailError:
                self._close()  # the system works: it judged this email
                raise
            self._close()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        with self._lock:
            down = self._down
            if down is not None:
                if self._trying or self._monotonic() < self._next_try:
                    raise MailSystemDown(f"the mail system is down: {down}")
                self._trying = True
        try:
            yield
        finally:
            if down is not None:
                with self._lock:
                    self._trying = False

    def _open(self, down: MailSystemDown) -> None:
        self._outage.failed(down)
        with self._lock:
            self._down, self._next_try = down, self._monotonic() + self._open_seconds

    def _close(self) -> None:
        self._outage.answered()
        with self._lock:
            self._down = None
