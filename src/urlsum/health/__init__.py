"""Whether the service can do its work: whether its table takes writes and its queue takes messages."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import TaskNotFound, Unavailable
from urlsum.outage import Calls
from urlsum.task import Status, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.health.meeting import Meeting
    from urlsum.outage import Outage, Outages
    from urlsum.queues import TaskQueue
    from urlsum.tables import TaskTable

log = logging.getLogger(__name__)

# A result is kept so long: half of the five seconds between two checks of Docker, and however many others ask, the
# stores have two writes in that time.
KEPT_SECONDS = 2.5
# The probe of a check that died in the middle is purged by the next sweep after this.
PROBE_SECONDS = 60


class Health(Struct, frozen=True):
    """What is wrong: each entry is a sentence that names it, without anything a stranger must not read.

    With a fault the process cannot do its work. A warning is for the operator: this process works, and a restart of it
    changes nothing.
    """

    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class HealthCheck:
    """Checks the stores of a process by a write and a send of its own, and by how its last ones ended.

    A store whose disk is full, or that is a read-only replica, answers every read. So after a read a row like that of a
    submission is inserted and deleted, and the queue is asked to take something. If both do, ``meeting`` says whether
    they are those of the other processes. Safe for threads.
    """

    def __init__(
        self,
        table: TaskTable,
        queue: TaskQueue,
        outages: Outages,
        *,
        meeting: Meeting | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._queue = queue
        self._outages = outages
        self._meeting = meeting
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept = Health()
        self._kept_until = -1.0

    def __call__(self) -> Health:
        """The health now, or at most KEPT_SECONDS ago."""
        with self._lock:
            if self._monotonic() >= self._kept_until:
                self._kept = self._check()
                self._kept_until = self._monotonic() + KEPT_SECONDS
            return self._kept

    def _check(self) -> Health:
        self._try(self._probe_table)
        self._try(self._probe_queue)
        met = Health()
        if self._meeting is not None and not self._store_faults():
            try:
                met = Health(self._meeting.faults(), self._meeting.warnings())
            except Unavailable as unavailable:
                _log(unavailable)
        return Health((*self._store_faults(), *met.faults), met.warnings)

    def _store_faults(self) -> tuple[str, ...]:
        stores = ((self._outages.table, "writes"), (self._outages.queue, "messages"))
        return tuple(_fault(outage, what) for outage, what in stores if outage.failing)

    def _probe_queue(self) -> None:
        self._queue.count_waiting(0.0)
        self._queue.check_send()

    def _probe_table(self) -> None:
        now = self._clock()
        # Final and never due: no worker and no sweep looks at it, and /check does not know its id.
        probe = Task(
            id=str(uuid.uuid4()),
            url="urlsum:health",
            status=Status.CANCELLED,
            created_at=now,
            updated_at=now,
            expires_at=int(now) + PROBE_SECONDS,
        )
        with suppress(TaskNotFound):
            self._table.get(probe.id)
        self._table.add(probe)
        self._table.remove(probe)

    @staticmethod
    def _try(probe: Callable[[], None]) -> None:
        try:
            probe()
        except Unavailable as unavailable:
            _log(unavailable)


def _log(unavailable: Unavailable) -> None:
    if not unavailable.reported:
        log.warning("%s", unavailable)


def _fault(outage: Outage, what: str) -> str:
    return f"{outage.name} does not {'answer' if outage.failing & Calls.READ else f'accept {what}'}"
