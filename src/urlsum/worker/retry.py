"""The retry policy: which failures are retried, after how long, and how often without progress."""

from __future__ import annotations

import math
from random import random as random_fraction
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import DnsFailed, FailureCode, HttpFailed, OriginError, TlsUnsupported, TooCostly, TooSlow
from urlsum.task import Failure
from urlsum.text.format import human_bytes
from urlsum.text.redact import public_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.task import Task

# Transient statuses. Any other status is final: 525 and 526 (Cloudflare's for the
# certificate of the server behind it) and 430 (Shopify's for a client that it suspects) among them.
PASSING_STATUSES = frozenset(
    {
        *(408, 421),  # RFC 9110, 15.5.9 and 15.5.20: another connection may do
        420,  # Twitter's "Enhance Your Calm", from before there was 429
        425,  # RFC 8470
        429,  # RFC 6585
        *(500, 502, 503, 504),  # those that RFC 9110, 15.6 describes as passing
        509,  # "Bandwidth Limit Exceeded" of cPanel and of Apache's modules
        # Cloudflare did not reach the server behind it, or got no usable response from it.
        *(520, 521, 522, 523, 524, 527, 530),
        529,  # "Site is overloaded", first of Qualys
        *(598, 599),  # proxies: their own time-out, of reading and of connecting
    }
)
# Statuses that are transient if the response has a Retry-After: GA4GH's DRS has 202 for a file that is being fetched
# from tape, and some rate limiters send 403.
# https://ga4gh.github.io/data-repository-service-schemas/
ACCEPTED = 202
WAITING_STATUSES = frozenset({ACCEPTED, 403})
# The longest preparation of a file. Tapes and cold archives need minutes to half a day.
MOST_PREPARING_SECONDS = 86_400.0
# Meanwhile the next try comes after this share of the time that the task has waited already.
PREPARING_SHARE = 0.1
# The longest back-off: the longest delay of one SQS message.
LONGEST_BACKOFF_SECONDS = 900.0
# The longest wait that an origin may ask for. Maintenance windows end within it; a task lives for days.
LONGEST_RETRY_AFTER_SECONDS = 6 * 3600.0
# The waits for a turn at an origin whose connections are all in use. Two seconds are long enough that the other slots
# get to other origins, and hardly longer than a lease of connections needs to be handed on; five minutes are nothing to
# a file that has waited for an hour.
FIRST_TURN_SECONDS = 2.0
LONGEST_TURN_SECONDS = 300.0
TURN_SHARE = 0.1
# How often a task may restart because its file changed. Two restarts are for a release that is being uploaded; a file
# that changes faster than it can be read has no digest to report.
MAX_RESTARTS = 3
# Slices of HAND_OVER_SECONDS = 10, while others wait, are eleven days of work, and of SLICE_SECONDS longer than a task
# is kept.
MAX_SLICES = 100_000
# In its first hour a file is given up only if this multiple of its rate would not suffice: a server may be busy just
# then, and more connections may come. Later the rate counts as it is, as the limit is days away and the mean is steady.
YOUNG_SECONDS = 3600.0
YOUNG_HEADROOM = 2.0
HOUR_SECONDS = 3600.0


class Policy(Struct, frozen=True):
    """What happens after a failure of one code.

    ``wait`` is the first back-off in units of RETRY_BASE_SECONDS; it doubles. ``most`` bounds the attempts without
    progress, None means MAX_ATTEMPTS.
    """

    retry: bool
    wait: float = 1.0
    most: int | None = None


NEVER = Policy(retry=False)
# Final whatever their code: each try would end alike, and its progress would allow the next one.
FINAL = (TlsUnsupported, TooCostly, TooSlow)
PATIENTLY = Policy(retry=True)
# Mostly a property of the origin, but one broken machine behind a load balancer looks the same.
ONCE_MORE = Policy(retry=True, most=2)
# An upload in progress needs time to finish: a minute, by default.
AFTER_A_WHILE = Policy(retry=True, wait=12.0)

POLICIES: dict[FailureCode, Policy] = {
    FailureCode.BLOCKED: NEVER,  # except AddressRefused, which follows DNS
    FailureCode.DNS: PATIENTLY,
    FailureCode.CONNECT: PATIENTLY,
    FailureCode.TLS: ONCE_MORE,  # never for TlsUnsupported
    FailureCode.HTTP: PATIENTLY,  # narrowed by PASSING_STATUSES
    FailureCode.PROTOCOL: ONCE_MORE,  # never for TooCostly
    FailureCode.INCOMPLETE: PATIENTLY,
    FailureCode.CHANGED: AFTER_A_WHILE,  # narrowed by MAX_RESTARTS
    FailureCode.TIMEOUT: PATIENTLY,  # never for TooSlow
    FailureCode.TOO_LARGE: NEVER,
    FailureCode.REDIRECTS: NEVER,
    FailureCode.UNVERIFIABLE: NEVER,
    FailureCode.INTERNAL: PATIENTLY,
}


def most_attempts(code: FailureCode, max_attempts: int) -> int:
    """How many tries without progress end in a failure of this code."""
    most = POLICIES[code].most
    return max_attempts if most is None else min(most, max_attempts)


def delay(
    error: OriginError,
    *,
    attempts: int,
    max_attempts: int,
    base_seconds: float,
    fraction: Callable[[], float] = random_fraction,
) -> float | None:
    """Seconds until the next try, or None if the failure is final.

    ``attempts`` counts the tries since the last progress, including the one that just failed. The back-off doubles; the
    wait is drawn from its upper half (jitter), so that tasks that failed together do not retry together.
    """
    code = FailureCode.DNS if isinstance(error, DnsFailed) else error.code
    policy = POLICIES[code]
    if not policy.retry or isinstance(error, FINAL):
        return None
    if isinstance(error, HttpFailed) and not _may_pass(error):
        return None
    if attempts >= most_attempts(code, max_attempts):
        return None
    backoff = min(policy.wait * base_seconds * 2.0 ** (max(attempts, 1) - 1), LONGEST_BACKOFF_SECONDS)
    wait = backoff * (0.5 + 0.5 * fraction())
    if error.retry_after is None:
        return wait
    return max(wait, min(error.retry_after, LONGEST_RETRY_AFTER_SECONDS))


def preparing(error: OriginError, *, seconds: float) -> float | None:
    """Minimum wait in seconds for a file that its server has been preparing for ``seconds``; None if it is not.

    Such a response is no failed try: only time bounds the number of them.
    """
    is_preparing = isinstance(error, HttpFailed) and error.status == ACCEPTED and error.retry_after is not None
    return seconds * PREPARING_SHARE if is_preparing and seconds < MOST_PREPARING_SECONDS else None


def turn_delay(task: Task, *, now: float) -> float:
    """Seconds until ``task`` tries again to get a turn at its origin: a tenth of the time that it has waited.

    A thousand files that wait for one server all day then cost a few claims a second. A file that was being read has
    had its turn, so only those before it are ahead.
    """
    waited = 0.0 if task.checkpoint else now - task.created_at
    return min(max(waited * TURN_SHARE, FIRST_TURN_SECONDS), LONGEST_TURN_SECONDS)


def _may_pass(error: HttpFailed) -> bool:
    if error.status in WAITING_STATUSES:
        return error.retry_after is not None
    return error.status in PASSING_STATUSES


def must_end_by(task: Task, max_task_hours: int) -> float:
    """When ``task`` must have ended, by the clock of its times; ``max_task_hours`` is 0 for no limit of its own.

    Infinity where nothing keeps it from running on: on the command line a task does not expire.
    """
    limit = task.created_at + max_task_hours * HOUR_SECONDS if max_task_hours else math.inf
    return min(limit, task.expires_at or math.inf)


def too_slow(task: Task, *, size: int, count: int, rate: float, now: float, max_task_hours: int) -> str | None:
    """Why the rest of a file of ``size`` bytes cannot come in time, None if it can.

    ``count`` bytes were read so far, at ``rate`` bytes per second since the file was opened. The rate since the
    submission counts instead if it is better: one slow minute must not end what goes well over days.
    """
    age, end = now - task.created_at, must_end_by(task, max_task_hours)
    best = max(rate, count / age if age > 0 else 0.0)
    seconds = (size - count) / (best * (YOUNG_HEADROOM if age < YOUNG_SECONDS else 1.0)) if best else math.inf
    if now + seconds <= end:
        return None
    hours = (end - task.created_at) / HOUR_SECONDS
    return (
        f"{human_bytes(size)} at {human_bytes(round(best))} per second cannot end within {hours:.0f} hours of the"
        f" submission, the limit of this service; {human_bytes(count)} had been read"
    )


def spent(task: Task, *, attempts: int, max_attempts: int, now: float, max_task_hours: int) -> Failure | None:
    """Why the unfinished ``task`` has failed for good after ``attempts`` tries without progress, None if it has not."""
    if now >= must_end_by(task, max_task_hours):
        hours = (must_end_by(task, max_task_hours) - task.created_at) / HOUR_SECONDS
        # In public words: under this code the guard's own would reach strangers.
        last = f"; last error: {public_failure(task.error, task.url).message}" if task.error else ""
        return Failure(FailureCode.TIMEOUT, f"not finished within {hours:.0f} hours of the submission{last}")
    if attempts >= max_attempts:
        # Only tries whose worker died count up to here: all others end in ``delay``.
        died = f"workers stopped {max_attempts} times without making progress"
        return task.error or Failure(FailureCode.INTERNAL, died)
    if task.slices > MAX_SLICES:
        return Failure(FailureCode.TIMEOUT, f"not finished after {MAX_SLICES} slices of work")
    return None
