"""The retry policy: which failures are retried, after how long, and how often without progress."""

from __future__ import annotations

from dataclasses import dataclass
from random import random as random_fraction
from typing import TYPE_CHECKING

from urlsum.errors import FailureCode, HttpFailed, OriginError, TlsUnsupported
from urlsum.task import Failure

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
# How often a task may restart because its file changed. Two restarts are for a release that is being uploaded; a file
# that changes faster than it can be read has no digest to report.
MAX_RESTARTS = 3
# Slices of SLICE_SECONDS = 240 are four weeks of work, about as long as a task is kept.
MAX_SLICES = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens after a failure of one code.

    ``wait`` is the first back-off in units of RETRY_BASE_SECONDS; it doubles. ``most`` bounds the attempts without
    progress, None means MAX_ATTEMPTS.
    """

    retry: bool
    wait: float = 1.0
    most: int | None = None


NEVER = Policy(retry=False)
PATIENTLY = Policy(retry=True)
# Mostly a property of the origin, but one broken machine behind a load balancer looks the same.
ONCE_MORE = Policy(retry=True, most=2)
# An upload in progress needs time to finish: a minute, by default.
AFTER_A_WHILE = Policy(retry=True, wait=12.0)

POLICIES: dict[FailureCode, Policy] = {
    FailureCode.BLOCKED: NEVER,
    FailureCode.DNS: PATIENTLY,
    FailureCode.CONNECT: PATIENTLY,
    FailureCode.TLS: ONCE_MORE,  # never for TlsUnsupported
    FailureCode.HTTP: PATIENTLY,  # narrowed by PASSING_STATUSES
    FailureCode.PROTOCOL: ONCE_MORE,
    FailureCode.INCOMPLETE: PATIENTLY,
    FailureCode.CHANGED: AFTER_A_WHILE,  # narrowed by MAX_RESTARTS
    FailureCode.TIMEOUT: PATIENTLY,
    FailureCode.TOO_LARGE: NEVER,
    FailureCode.REDIRECTS: NEVER,
    FailureCode.UNVERIFIABLE: NEVER,
    FailureCode.INTERNAL: PATIENTLY,
}


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
    policy = POLICIES[error.code]
    if not policy.retry or isinstance(error, TlsUnsupported):
        return None
    if isinstance(error, HttpFailed) and not _may_pass(error):
        return None
    if attempts >= (max_attempts if policy.most is None else min(policy.most, max_attempts)):
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


def _may_pass(error: HttpFailed) -> bool:
    if error.status in WAITING_STATUSES:
        return error.retry_after is not None
    return error.status in PASSING_STATUSES


def spent(task: Task, *, attempts: int, max_attempts: int) -> Failure | None:
    """Why the unfinished ``task`` has failed for good after ``attempts`` tries without progress, None if it has not."""
    if attempts >= max_attempts:
        # Only tries whose worker died count up to here: all others end in ``delay``.
        died = f"workers stopped {max_attempts} times without making progress"
        return task.error or Failure(FailureCode.INTERNAL, died)
    if task.slices > MAX_SLICES:
        return Failure(FailureCode.TIMEOUT, f"not finished after {MAX_SLICES} slices of work")
    return None
