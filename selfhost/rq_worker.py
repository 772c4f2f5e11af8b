"""RQ's worker with more lines in the log: a process that was killed for memory, and what is not the server's.

``RQ_WORKER_CLASS`` of the image selects it for ``rq worker``. Any other worker of RQ does the same work.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import rq
from redis.exceptions import RedisError

from selfhost.memory import KilledForMemory
from selfhost.rq_settings import differences
from urlsum import settings, wiring
from urlsum.errors import Unavailable
from urlsum.queues.redis_attendance import RedisAttendance

if TYPE_CHECKING:
    from resource import struct_rusage

    from rq import Queue
    from rq.job import Job

log = logging.getLogger("rq.worker")


class Worker(rq.Worker):
    """One worker, which forks a process for each job."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed to RQ unchanged
        super().__init__(*arguments, **options)
        self._killed_for_memory = KilledForMemory()
        self._different = ""
        self._faults: set[str] = set()

    def bootstrap(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed to RQ unchanged
        """Start, and compare the settings at once: an operator reads the first lines."""
        super().bootstrap(*arguments, **options)
        self._compare_settings()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Compare the settings first, because the server may have been restarted with others."""
        self._compare_settings()
        super().execute_job(job, queue)

    def run_maintenance_tasks(self) -> None:
        """Look for the server, too: RQ does this at its start and every ten minutes, while a worker waits for a job."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call] # of RQ
        attendance = RedisAttendance(self.connection, self.queues[0].name)
        with suppress(Unavailable):  # the health says so, and each job
            faults = set(wiring.meeting_at(settings.load(), attendance).faults())
            for fault in sorted(faults - self._faults):
                log.warning("%s", fault)
            self._faults = faults

    def _compare_settings(self) -> None:
        with suppress(RedisError):  # RQ itself is about to notice
            different = differences(self.connection, settings.load())
            if different and different != self._different:
                log.warning("the settings of this worker are not the server's: %s", different)
            self._different = different

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: struct_rusage) -> None:
        """Log why the process of ``job`` died, where the kernel knows it."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call] # of RQ
        if reason := self._killed_for_memory.look():
            log.error("the worker of %s was %s", job.description, reason)
