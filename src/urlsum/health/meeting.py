"""Whether the processes of a deployment meet: at one table, and at one queue in Redis.

A Redis that answers may be another one than that of the other processes: another host, or another database of it. Then
every process works, every message is accepted, and no task ever runs. So the server writes the deployment's id where it
sends, and into the table that it sends there now; a worker compares both.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from typing import TYPE_CHECKING, Protocol

from urlsum import tables
from urlsum.tables import NEVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.tables import Records

KEY = "deployment"
# As unlikely to meet another as a task's id.
ID_BYTES = 16
# How often the table learns that the server lives. The queue learns it with each round of the server's maintenance, one
# a second, so that it knows soon after a loss of its data.
CONFIRM_SECONDS = 60.0
# A server whose table was confirmed so long ago may have stopped: two confirmations and a slow database.
ALIVE_SECONDS = 150.0
# So long after its last round a server no longer sends to this queue. More than ALIVE_SECONDS: of a server that has
# stopped the table must know first. A sweep holds up the rounds for seconds.
GONE_SECONDS = 180.0
# A Redis that has just lost its data knows no server until the next round of one: two rounds.
RETURN_SECONDS = 2.0
# Another deployment that was here so recently is here still. Less would miss one whose server stands still; more would
# accuse the former deployment of a queue whose table was made again.
OTHERS_SECONDS = 15.0

ELSEWHERE = "no server of this deployment uses this queue: compare REDIS_URL and TASKS_QUEUE_NAME with the server's"
SHARED = (
    "another deployment uses this queue: give each a TASKS_QUEUE_NAME or a REDIS_URL of its own,"
    " and all its processes one DATABASE_URI"
)
UNATTENDED = "no worker takes messages from the queue"
EVICTS = "Redis deletes messages when it is full (maxmemory-policy {}); set noeviction"


class Attendance(Protocol):
    """What the queue knows of those that send to it and take from it. Every method raises QueueUnavailable."""

    def announce(self, deployment: str) -> None:
        """Write down that a server of ``deployment`` sends to this queue now."""
        ...

    def announced(self) -> dict[str, float]:
        """The deployments whose servers send to this queue, and how many seconds ago each last said so."""
        ...

    def unattended(self) -> float:
        """The seconds that the first message has waited while no worker is there; 0 if none waits or one is there."""
        ...

    def evicts(self) -> str | None:
        """The policy by which a queue that is full deletes messages to make room; None if it refuses new ones."""
        ...


class Meeting:
    """The processes of one deployment at one queue. A message waits for a worker for ``patience`` seconds. Thread-safe.

    ``clock`` is that of the table, ``monotonic`` this machine's.
    """

    def __init__(
        self,
        records: Records,
        attendance: Attendance,
        *,
        patience: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._records = records
        self._attendance = attendance
        self._patience = patience
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._id: str | None = None
        self._confirm_at = 0.0

    def announce(self) -> None:
        """Say that a server of this deployment sends to this queue. Raises QueueUnavailable, TableUnavailable."""
        with self._lock:
            if self._id is None:
                self._id = self._confirmed(alive=False)
            # The queue first: otherwise its workers would hear of a server that they do not find there yet.
            self._attendance.announce(self._id)
            if self._monotonic() >= self._confirm_at:
                # The table may have been made again meanwhile, with another id.
                self._id = self._confirmed(alive=True)
                self._confirm_at = self._monotonic() + CONFIRM_SECONDS

    def faults(self) -> tuple[str, ...]:
        """Why tasks that are accepted here never run, or run elsewhere. Raises QueueUnavailable, TableUnavailable.

        While no server of the deployment is alive nothing can be compared, and there is no fault.
        """
        # The table first: a server writes into the queue before it writes there.
        record = self._records.read(KEY)
        ours, seen = _parsed(record.value if record else None)
        announced = self._attendance.announced()
        if any(age < OTHERS_SECONDS for deployment, age in announced.items() if deployment != ours):
            return (SHARED,)
        sends_here_itself = self._id is not None
        alive = self._clock() - seen < ALIVE_SECONDS
        if sends_here_itself or not alive or _here(ours, announced):
            return ()
        self._sleep(RETURN_SECONDS)
        return () if _here(ours, self._attendance.announced()) else (ELSEWHERE,)

    def warnings(self) -> tuple[str, ...]:
        """What an operator should know although this process can work. Raises QueueUnavailable."""
        unattended = (UNATTENDED,) if self._attendance.unattended() > self._patience else ()
        policy = self._attendance.evicts()
        return (*unattended, EVICTS.format(policy)) if policy else unattended

    def _confirmed(self, *, alive: bool) -> str:
        """The id of the deployment, which is made if there is none; with ``alive``, note that its server lives."""
        now = self._clock()

        def decide(stored: str | None) -> tuple[Change | None, str]:
            deployment, seen = _parsed(stored)
            known = bool(deployment)
            deployment = deployment or secrets.token_hex(ID_BYTES)
            if known and not alive:
                return None, deployment
            return Change(json.dumps([deployment, now if alive else seen]), NEVER), deployment

        return tables.change(self._records, KEY, decide, now=now)


def _here(deployment: str, announced: dict[str, float]) -> bool:
    """Whether a server of ``deployment`` sends to the queue where these were ``announced``."""
    return announced.get(deployment, GONE_SECONDS) < GONE_SECONDS


def _parsed(value: str | None) -> tuple[str, float]:
    """The id and the time of the last confirmation; an empty id if there is none."""
    if value is None:
        return "", 0.0
    deployment, seen = json.loads(value)
    return str(deployment), float(seen)
