"""The server's clock, measured again and again while it runs.

Its routes date submissions, cancellations and limits. A worker in a process of its own measures for itself.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from urlsum.errors import ClockSkewed, Unavailable
from urlsum.tables.clock import REFRESH_SECONDS

if TYPE_CHECKING:
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.server")


class ClockWatch:
    """A thread that measures the clock's offset every ``refresh_seconds``, until it is stopped."""

    def __init__(self, services: Services, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._services = services
        self._refresh_seconds = refresh_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        """Start the thread; the server has measured at its own start."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the thread end."""
        self._stopping.set()

    def stop(self) -> None:
        """Return at once: a measurement may be interrupted."""
        self.ask_to_stop()

    def _run(self) -> None:
        while not self._stopping.wait(self._refresh_seconds):
            try:
                self._services.synchronize()
            except ClockSkewed as exc:
                log.error("%s", exc)  # noqa: TRY400 - one line; the clock is corrected all the same
            except Unavailable as exc:
                if not exc.reported:
                    log.warning("the clock: %s", exc)
            except Exception:
                log.exception("cannot measure the clock")
