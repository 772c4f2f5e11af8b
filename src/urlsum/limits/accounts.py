"""The accounts of clients in the table: one record for each, changed when a task is submitted and when it ends."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from urlsum import tables
from urlsum.errors import TableUnavailable
from urlsum.limits.account import Account
from urlsum.tables import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.limits.quota import Allowance, Quota
    from urlsum.tables import Records
    from urlsum.task import Task

log = logging.getLogger(__name__)


def charge(task: Task, quota: Quota, records: Records, *, now: float, ttl_days: int) -> tuple[Allowance, ...]:
    """Count the submission of ``task``, which has a client, and return what is left.

    One read and one conditional write; a refusal needs two reads. Raises LimitReached, TableUnavailable.
    """

    def submitted(stored: str | None) -> tuple[Change, tuple[Allowance, ...]]:
        account = Account.load(stored).submitted(quota, now, fresh=task.fresh, ttl_days=ttl_days)
        return _change(account, ttl_days), account.allowances(quota, now, fresh=task.fresh)

    # A client's submissions lie further apart than DynamoDB's replicas, and this read costs half.
    return tables.change(records, _key(task), submitted, now=now, consistent=False)


def settle(task: Task, records: Records, *, now: float, ttl_days: int) -> None:
    """Count that ``task`` has ended, or was never accepted, and what was read for it.

    Only the process that wrote the end of the task calls this, after that write. So each task is counted once, or not
    at all: if the process dies in between, or the table does not answer now, the count lapses with the day of the
    submission (see ``Account``). Nothing is raised, because the end of the task holds in any case.
    """
    _settle([task], records, now=now, ttl_days=ttl_days)


class Settlements:
    """The tasks that ended in one batch: ten small files of one client cost its account one write. Safe for threads."""

    def __init__(self, records: Records, *, clock: Callable[[], float], ttl_days: int) -> None:
        self._records = records
        self._clock = clock
        self._ttl_days = ttl_days
        self._ended: defaultdict[str | None, list[Task]] = defaultdict(list)
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        """Count ``task`` at the next ``settle``."""
        with self._lock:
            self._ended[task.client].append(task)

    def settle(self) -> None:
        """Count what has ended since the last time, as the function of this name does."""
        with self._lock:
            ended, self._ended = self._ended, defaultdict(list)
        for tasks in ended.values():
            _settle(tasks, self._records, now=self._clock(), ttl_days=self._ttl_days)


def _settle(tasks: Sequence[Task], records: Records, *, now: float, ttl_days: int) -> None:
    """Settle ``tasks``, which are of one client."""
    if tasks[0].client is None:
        return

    def ended(stored: str | None) -> tuple[Change | None, None]:
        if stored is None:  # nothing was counted, because the client has no limits
            return None, None
        account = Account.load(stored)
        for task in tasks:
            account = account.ended(task, now, ttl_days=ttl_days)
        return _change(account, ttl_days), None

    try:
        tables.change(records, _key(tasks[0]), ended, now=now)
    except TableUnavailable as unavailable:
        for task in tasks:
            log.warning("task %s: not counted as ended: %s", task.id, unavailable)


def _key(task: Task) -> str:
    return f"client:{task.client}"


def _change(account: Account, ttl_days: int) -> Change:
    return Change(account.dump(), account.expires_at(ttl_days=ttl_days))
