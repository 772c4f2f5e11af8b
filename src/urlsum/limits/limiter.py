"""Whether a submission may pass: the limits of its client and the limit over all clients."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import LimitReached
from urlsum.limits import accounts
from urlsum.limits.backlog import Backlog
from urlsum.limits.quota import UNFINISHED_RETRY_SECONDS, quota_of, reached

if TYPE_CHECKING:
    from urlsum.limits.quota import Allowance
    from urlsum.settings import Settings
    from urlsum.tables import Records, TaskTable
    from urlsum.task import Task

# How long a process remembers that a client has too many unfinished tasks: one may end at any moment.
UNFINISHED_SECONDS = 1.0
# Refused clients that a process remembers, at some 500 bytes each. Any others cost a read of the table per refusal.
REMEMBERED = 10_000


class Limiter:
    """Admits submissions, and remembers in this process which clients are over their limits.

    The counts are in the table, so they hold for the whole deployment. The memory only spares a client that is refused
    anyway, and everybody else, the read of its account. Safe for many threads.
    """

    def __init__(self, settings: Settings, table: TaskTable, records: Records) -> None:
        self._settings = settings
        self._records = records
        self._backlog = Backlog(table, settings.max_unfinished)
        self._refusals = _Refusals()

    def admission(self) -> Admission:
        """The admission of one submission."""
        return Admission(self)

    def recall(self, client: str | None, now: float) -> None:
        """Refuse a client whose limit is known to be reached, without a look into the table. Raises LimitReached."""
        if client is not None:
            self._refusals.recall(client, now)

    def admit(self, task: Task) -> tuple[Allowance, ...]:
        """Count ``task``, which is about to be stored, and return what is left to its client.

        A client that is None has no limits: not its own, and not the one over all clients, which keeps strangers from
        filling the table. Raises LimitReached, Overloaded, TableUnavailable.
        """
        client, now = task.client, task.created_at
        if client is None:
            return ()
        self.recall(client, now)
        self._backlog.check(now)
        quota = quota_of(client, self._settings)
        allowances: tuple[Allowance, ...] = ()
        if quota.limits_anything:
            try:
                allowances = accounts.charge(task, quota, self._records, now=now, ttl_days=self._settings.task_ttl_days)
            except LimitReached as refusal:
                self._refusals.remember(client, refusal, now)
                raise
        self._backlog.add()
        return allowances

    def settle(self, task: Task, now: float) -> None:
        """Count that ``task`` has ended, or was not accepted after all. See ``accounts.settle``."""
        accounts.settle(task, self._records, now=now, ttl_days=self._settings.task_ttl_days)


class Admission:
    """The admission of one submission: what the use case asks for, and what the response tells of it."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.allowances: tuple[Allowance, ...] = ()

    def admit(self, task: Task) -> None:
        """Count ``task``. Raises LimitReached, Overloaded, TableUnavailable."""
        self.allowances = self._limiter.admit(task)

    def withdraw(self, task: Task) -> None:
        """Take back that ``task`` is unfinished: it was not stored after all."""
        self._limiter.settle(task, task.created_at)


class _Refusal(Struct, frozen=True):
    limit: str
    quota: int
    until: float


class _Refusals:
    """The clients that were refused, until when, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_client: OrderedDict[str, _Refusal] = OrderedDict()

    def remember(self, client: str, refusal: LimitReached, now: float) -> None:
        if refusal.limit == "fresh":  # the client may submit without it
            return
        seconds = UNFINISHED_SECONDS if refusal.limit == "unfinished" else refusal.seconds
        with self._lock:
            self._by_client[client] = _Refusal(refusal.limit, refusal.quota, now + seconds)
            self._by_client.move_to_end(client)
            if len(self._by_client) > REMEMBERED:
                self._by_client.popitem(last=False)

    def recall(self, client: str, now: float) -> None:
        """Raises LimitReached if this client's limit is still reached."""
        with self._lock:
            refusal = self._by_client.get(client)
            if refusal is None:
                return
            if refusal.until <= now:
                del self._by_client[client]
                return
        seconds = UNFINISHED_RETRY_SECONDS if refusal.limit == "unfinished" else refusal.until - now
        raise reached(refusal.limit, refusal.quota, seconds)
