"""The limits of a client: how much it may use, how much is left, and what it is told when nothing is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from urlsum.errors import LimitReached
from urlsum.text.format import human_bytes, human_seconds

if TYPE_CHECKING:
    from urlsum.api_keys import ApiKeys
    from urlsum.settings import Settings

MINUTE = 60
DAY = 24 * 3600
KEY_PREFIX = "key:"
# When a client with too many unfinished tasks should try again. Nobody knows when one ends; a file of a few gigabytes
# takes about this long.
UNFINISHED_RETRY_SECONDS = 30

# The windows in seconds, and the quota units of draft-ietf-httpapi-ratelimit-headers-11, 10.3.
WINDOWS = {"minute": MINUTE, "day": DAY, "bytes": DAY, "fresh": DAY}
UNITS = {"bytes": "content-bytes", "unfinished": "concurrent-requests"}


class Quota(Struct, frozen=True, kw_only=True):
    """The limits of one client; 0 means none.

    ``minute`` and ``day`` bound its submissions, ``unfinished`` its tasks at any one time, ``bytes`` what was read for
    its tasks in a day, and ``fresh`` how many of its submissions in a day may ask for a reading of their own.
    """

    minute: int = 0
    day: int = 0
    unfinished: int = 0
    bytes: int = 0
    fresh: int = 0

    @property
    def limits_anything(self) -> bool:
        """Whether any limit is set; otherwise nothing needs to be counted."""
        return any((self.minute, self.day, self.unfinished, self.bytes, self.fresh))


class Allowance(Struct, frozen=True):
    """What is left of one limit: ``remaining`` of ``quota`` units for ``seconds``, None if no time counts."""

    limit: str
    quota: int
    remaining: int
    seconds: int | None

    @property
    def window(self) -> int | None:
        """The length of the time window in seconds, None if no time counts."""
        return WINDOWS.get(self.limit)

    @property
    def unit(self) -> str | None:
        """What is counted, if it is not requests."""
        return UNITS.get(self.limit)


def quota_of(client: str, settings: Settings) -> Quota:
    """The limits of ``client``, the subject of a submission: those of the settings, or of its API key."""
    quota = Quota(
        minute=settings.client_submits_per_minute,
        day=settings.client_submits_per_day,
        unfinished=settings.client_unfinished,
        bytes=settings.client_bytes_per_day,
        fresh=settings.client_fresh_per_day,
    )
    keys: ApiKeys = settings.api_keys
    key = keys.named(client.removeprefix(KEY_PREFIX)) if client.startswith(KEY_PREFIX) else None
    return quota if key is None else replace(quota, **dict(key.limits))


def reached(limit: str, quota: int, seconds: float) -> LimitReached:
    """The refusal of a submission because of ``limit``, in words; it lasts for ``seconds``."""
    wait = max(1, math.ceil(seconds))
    allowed = {
        "minute": f"{quota} URLs a minute",
        "day": f"{quota} URLs a day",
        "unfinished": f"{quota} URLs whose results are still to come",
        "bytes": f"files of {human_bytes(quota)} a day in all",
        "fresh": f"{quota} URLs a day with fresh=true",
    }[limit]
    again = {"unfinished": "when one of your tasks has ended", "fresh": f"without it, or in {human_seconds(wait)}"}
    return LimitReached(
        limit,
        f"You may submit {allowed}, and this limit is reached. Submit this URL again"
        f" {again.get(limit, f'in {human_seconds(wait)}')}.",
        quota=quota,
        seconds=wait,
    )
