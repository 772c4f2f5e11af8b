"""Maintenance that plain ``rq worker`` processes do not do, in a thread of the server.

Delayed jobs are requeued when they are due, continuations when no first slice waits, and jobs of dead workers when they
are abandoned. RQ's workers do the first only with ``--with-scheduler``, and the last every ten minutes. The thread also
sweeps the table, which restores all that Redis may lose; a job in Redis could not.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from selfhost.rq_settings import publish
from urlsum.errors import QueueUnavailable, Unavailable
from urlsum.queues.redis import client
from urlsum.worker.sweep import purge, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.queues.redis import RedisQueue
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.rq_maintenance")

# Stranded tasks in one sweep, some seconds of work: delayed jobs wait meanwhile. After a full one the next begins with
# the next round, so that an outage's tasks do not wait for SWEEP_SECONDS again and again.
SWEEP_LIMIT = 1000
# RQ counts delays in whole seconds, and each round costs four small requests to Redis.
REQUEUE_SECONDS = 1.0


class RqMaintenance:
    """A thread that requeues and sweeps until it is stopped. Several servers may have one each."""

    def __init__(self, services: Services, queue: RedisQueue, *, requeue_seconds: float = REQUEUE_SECONDS) -> None:
        self._services = services
        self._queue = queue
        self._requeue_seconds = requeue_seconds
        self._stopping = threading.Event()
        self._said: set[str] = set()
        """What the log has said of the meeting at the queue."""
        self._full = False
        """Whether the last sweep has left tasks to the next one."""
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
            self._try("queue", self._requeue, complaints)
            if time.monotonic() >= sweep_at:
                self._full = False
                self._try("sweep", self._sweep, complaints)
                sweep_at = time.monotonic() + (0.0 if self._full else self._services.settings.sweep_seconds)
            self._stopping.wait(self._requeue_seconds)

    def _requeue(self) -> None:
        with self._services.outages.queue.read:
            self._queue.requeue_due_and_abandoned()
            self._queue.admit_for_idle()
        if (meeting := self._services.meeting) is not None:
            meeting.announce()

    def _sweep(self) -> None:
        services = self._services
        self._publish_settings()
        self._log_meeting()
        swept = sweep(
            services.table,
            services.queue,
            now=services.clock(),
            settings=services.settings,
            limit=SWEEP_LIMIT,
            limiter=services.limiter,
            stop=self._stopping.is_set,
        )
        self._full = max(swept.resent, swept.failed) >= SWEEP_LIMIT
        purge(services.records, services.clock(), stop=self._stopping.is_set)

    def _publish_settings(self) -> None:
        # At each sweep, because Redis may have lost them.
        config = self._services.settings
        with suppress(RedisError):  # the queue's own line says that
            if config.redis_url is not None:
                with client(config.redis_url) as connection:
                    publish(connection, config)

    def _log_meeting(self) -> None:
        """Log what an operator should know of the queue: once when it begins, for ``/healthz`` says it all the time."""
        meeting = self._services.meeting
        if meeting is None:
            return
        with suppress(QueueUnavailable):  # as above
            found = {*meeting.faults(), *meeting.warnings()}
            for sentence in sorted(found - self._said):
                log.warning("%s", sentence)
            self._said = found

    @staticmethod
    def _try(what: str, act: Callable[[], object], complaints: dict[str, str]) -> None:
        try:
            act()
        except Unavailable as exc:
            if not exc.reported and complaints.get(what) != str(exc):  # one line for an outage, not one a second
                log.warning("%s: %s", what, exc)
            complaints[what] = str(exc)
        except Exception:
            log.exception("%s", what)
        else:
            complaints.pop(what, None)
