"""Maintenance that plain ``rq worker`` processes do not do, in a thread of the server.

Delayed jobs are requeued when they are due, and jobs of dead workers when they are abandoned. RQ's workers do the first
only with ``--with-scheduler``, and the second every ten minutes. The thread also sweeps the table, which restores all
that Redis may lose; a job in Redis could not.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from urlsum.errors import Unavailable
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.queues.redis import RedisQueue
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.rq_maintenance")

# RQ counts delays in whole seconds, and each round costs two small requests to Redis.
REQUEUE_SECONDS = 1.0


class RqMaintenance:
    """A thread that requeues and sweeps until it is stopped. Several servers may have one each."""

    def __init__(self, services: Services, queue: RedisQueue, *, requeue_seconds: float = REQUEUE_SECONDS) -> None:
        self._services = services
        self._queue = queue
        self._requeue_seconds = requeue_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rq maintenance", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the thread end."""
        self._stopping.set()

    def stop(self) -> None:
        """Return at once: all that the thread does may be interrupted at any point."""
        self.ask_to_stop()

    def _run(self) -> None:
        complaints: dict[str, str] = {}
        sweep_at = time.monotonic()  # the first one at once: the last sweep may be long ago
        while not self._stopping.is_set():
            self._try("queue", self._queue.requeue_due_and_abandoned, complaints)
            if time.monotonic() >= sweep_at:
                self._try("sweep", self._sweep, complaints)
                sweep_at = time.monotonic() + self._services.settings.sweep_seconds
            self._stopping.wait(self._requeue_seconds)

    def _sweep(self) -> None:
        services = self._services
        sweep(
            services.table,
            services.queue,
            now=services.clock(),
            settings=services.settings,
            stop=self._stopping.is_set,
        )

    @staticmethod
    def _try(what: str, act: Callable[[], object], complaints: dict[str, str]) -> None:
        try:
            act()
        except Unavailable as exc:
            if complaints.get(what) != str(exc):  # one line for an outage, not one a second
                log.warning("%s: %s", what, exc)
            complaints[what] = str(exc)
        except Exception:
            log.exception("%s", what)
        else:
            complaints.pop(what, None)
