"""Retry-After: how long a server asks to wait."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.origin.http11.response import decoded, http_date

if TYPE_CHECKING:
    from urlsum.origin.http11.response import ResponseHead

# Longer waits are cut to this; the retry policy has its own, shorter bound.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# RFC 9110 has whole seconds; some rate limiters send fractions (urllib3/urllib3#2861, getsentry/sentry#7919).
_DELAY_SECONDS = re.compile(r"[0-9]{1,19}(?:\.[0-9]{0,19})?")


def longest_wait(head: ResponseHead, now: float) -> float | None:
    """Seconds to wait by the Retry-After of ``head``, the longest of several; None without one.

    ``now`` is in seconds since the epoch.
    """
    dates = [decoded(value) for value in head.all_bytes("date")]
    waits = [
        retry_after(element, date=dates[0] if dates else None, now=now)
        for value in head.all_bytes("retry-after")
        # A proxy may have joined two fields by a comma, which a date has as well.
        for element in (decoded(value), *decoded(value).split(",", 2)[:2])
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def retry_after(text: str | None, *, date: str | None, now: float) -> float | None:
    """Seconds to wait by Retry-After (RFC 9110, 10.2.3): a number, or a date; None without either.

    A date is counted from the response's own ``date``, as both come from one clock; without it, from ``now`` (seconds
    since the epoch).
    """
    if text is None:
        return None
    if _DELAY_SECONDS.fullmatch(text := text.strip(" \t")):
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    retry_at = http_date(text)
    if retry_at is None:
        return None
    sent = http_date(date)
    return min(max(retry_at - (now if sent is None else sent), 0.0), MAX_RETRY_AFTER_SECONDS)
