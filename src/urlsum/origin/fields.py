"""The header fields that urlsum understands, parsed with the distrust that they deserve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

# The longest wait that is taken seriously here; the retry policy has its own, shorter bound.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# 19 digits reach 2**63: no file is longer, and int() of a longer string costs time.
_CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes[ \t]+\*/([0-9]{1,19})", re.IGNORECASE)
_DELAY_SECONDS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The positions of a 206 answer: from ``first`` up to, but not including, ``end``; ``total`` when it is told."""

    first: int
    end: int
    total: int | None


def decoded(value: bytes) -> str:
    """The bytes of a field value as text: UTF-8, or else ISO 8859-1, which HTTP/1.1 once used (RFC 9110, 5.5)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def content_range(text: str | None) -> ContentRange | None:
    """RFC 9110, 14.4; None when it is missing or makes no sense.

    >>> content_range("bytes 100-199/1000")
    ContentRange(first=100, end=200, total=1000)
    """
    found = _CONTENT_RANGE.fullmatch(text or "")
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last + 1, total)


def unsatisfied_total(text: str | None) -> int | None:
    """The length of the file in the Content-Range of a 416 (RFC 9110, 15.5.17); None when it is missing.

    >>> unsatisfied_total("bytes */1000")
    1000
    """
    found = _UNSATISFIED.fullmatch(text or "")
    return int(found[1]) if found else None


def http_date(text: str | None) -> float | None:
    """An HTTP-date (RFC 9110, 5.6.7) in seconds since the epoch; None when it is missing or is none.

    Also None for a date that its offset moves beyond the year 9999, which no datetime can show.

    >>> http_date("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777.0
    """
    try:
        date = parsedate_to_datetime(text or "")
        # The asctime form has no zone. Every HTTP-date is in UTC.
        return (date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(text: str | None, *, date: str | None, now: float) -> float | None:
    """Seconds to wait by Retry-After (RFC 9110, 10.2.3): a number, or a date.

    A date is counted from the answer's own Date field, as both come from one clock; from ``now`` without it.
    """
    if text is None:
        return None
    if _DELAY_SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    at = http_date(text)
    if at is None:
        return None
    answered = http_date(date)
    return min(max(at - (now if answered is None else answered), 0.0), MAX_RETRY_AFTER_SECONDS)
