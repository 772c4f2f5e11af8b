"""The account of one client: what it has used, and whether it may submit one more URL.

Pure: a change returns a new account, and ``urlsum.limits.accounts`` writes it. The windows are fixed ones that begin
with the first submission, so a client can use two quotas around the end of a window, but never more than one within it.
Times are seconds since the epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping  # noqa: TC003 - in the signature of a Struct, which Hypothesis reads
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from urlsum.limits.quota import DAY, MINUTE, UNFINISHED_RETRY_SECONDS, Allowance, reached

if TYPE_CHECKING:
    from urlsum.errors import LimitReached
    from urlsum.limits.quota import Quota
    from urlsum.task import Task


class Account(Struct, frozen=True, kw_only=True):
    """The counts of one client.

    ``minute`` submissions since ``minute_from``; ``day`` submissions, ``fresh`` ones among them, and ``bytes`` read
    since ``day_from``. ``unfinished`` counts tasks by the day of their submission: a worker that dies between the last
    write of a task and that of the account leaves a count behind, which is dropped with its day.
    """

    minute_from: float = 0.0
    minute: int = 0
    day_from: float = 0.0
    day: int = 0
    fresh: int = 0
    bytes: int = 0
    unfinished: Mapping[int, int] = field(default_factory=dict)

    def at(self, now: float, *, ttl_days: int) -> Account:
        """The account as it counts at ``now``, without windows that are over and tasks that cannot live any more."""
        account = self
        if not _within(self.minute_from, MINUTE, now):
            account = replace(account, minute_from=now, minute=0)
        if not _within(self.day_from, DAY, now):
            account = replace(account, day_from=now, day=0, fresh=0, bytes=0)
        oldest = now // DAY - ttl_days - 1
        alive = {day: count for day, count in self.unfinished.items() if day >= oldest and count > 0}
        return replace(account, unfinished=alive)

    def submitted(self, quota: Quota, now: float, *, fresh: bool, ttl_days: int) -> Account:
        """Count one more submission. Raises LimitReached if ``quota`` does not allow it."""
        account = self.at(now, ttl_days=ttl_days)
        if refusals := account.refusals(quota, now, fresh=fresh):
            # The one that lasts longest: the client would meet it after each of the others.
            raise max(refusals, key=lambda refusal: refusal.seconds)
        today = int(now // DAY)
        return replace(
            account,
            minute=account.minute + 1,
            day=account.day + 1,
            fresh=account.fresh + fresh,
            unfinished={**account.unfinished, today: account.unfinished.get(today, 0) + 1},
        )

    def ended(self, task: Task, now: float, *, ttl_days: int) -> Account:
        """Count that ``task`` is no longer unfinished, and what was read for it."""
        account = self.at(now, ttl_days=ttl_days)
        day = int(task.created_at // DAY)
        left = {**account.unfinished, day: account.unfinished.get(day, 0) - 1}
        return replace(
            account,
            bytes=account.bytes + task.received,
            unfinished={day: count for day, count in left.items() if count > 0},
        )

    def allowances(self, quota: Quota, now: float, *, fresh: bool) -> tuple[Allowance, ...]:
        """What is left of each limit; that of fresh readings only for a ``fresh`` submission."""
        minute_left, day_left = _left(self.minute_from, MINUTE, now), _left(self.day_from, DAY, now)
        used = (
            ("minute", quota.minute, self.minute, minute_left),
            ("day", quota.day, self.day, day_left),
            ("unfinished", quota.unfinished, sum(self.unfinished.values()), None),
            ("bytes", quota.bytes, self.bytes, day_left),
            ("fresh", quota.fresh if fresh else 0, self.fresh, day_left),
        )
        return tuple(
            Allowance(limit, most, max(0, most - count), seconds) for limit, most, count, seconds in used if most
        )

    def refusals(self, quota: Quota, now: float, *, fresh: bool) -> list[LimitReached]:
        """What refuses one more submission."""
        return [
            reached(
                allowance.limit,
                allowance.quota,
                UNFINISHED_RETRY_SECONDS if allowance.seconds is None else allowance.seconds,
            )
            for allowance in self.allowances(quota, now, fresh=fresh)
            if not allowance.remaining
        ]

    def expires_at(self, *, ttl_days: int) -> float:
        """When nothing of the account counts any more."""
        newest = max(self.unfinished, default=0)
        return max(self.day_from + DAY, (newest + ttl_days + 2) * DAY if newest else 0)

    def dump(self) -> str:
        """The account as a text of some 100 bytes."""
        return json.dumps(
            {
                "m": [round(self.minute_from, 3), self.minute],
                "d": [round(self.day_from, 3), self.day, self.fresh, self.bytes],
                "u": self.unfinished,
            },
            separators=(",", ":"),
        )

    @classmethod
    def load(cls, text: str | None) -> Account:
        """Read a dump; a new account if there is none, or if somebody edited it into something else."""
        try:
            values = json.loads(text or "")
            (minute_from, minute), (day_from, day, fresh, count) = values["m"], values["d"]
            return cls(
                minute_from=float(minute_from),
                minute=int(minute),
                day_from=float(day_from),
                day=int(day),
                fresh=int(fresh),
                bytes=int(count),
                unfinished={int(key): int(value) for key, value in values["u"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def _within(start: float, window: int, now: float) -> bool:
    # The clock of the server that began the window may be ahead of this one's; one that was set back by more than a day
    # must not keep a client out for as long.
    return -DAY < now - start < window


def _left(start: float, window: int, now: float) -> int:
    """Whole seconds, rounded up, until the window is over."""
    return max(1, min(window, math.ceil(start + window - now)))
