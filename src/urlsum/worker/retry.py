"""The retry policy: which failure is tried again, after how long, and how often without progress."""

from __future__ import annotations

from dataclasses import dataclass
from random import random as random_fraction
from typing import TYPE_CHECKING

from urlsum.errors import FailureCode, HttpFailed, OriginError, TlsUnsupported
from urlsum.task import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.task import Task

# Statuses that a later try may cure. Any other status is the origin's final word: 525 and 526 (Cloudflare's for the
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
# Statuses that a later try may cure where Retry-After says how much later: GA4GH's DRS has 202 for a file that is being
# fetched from tape, and some rate limiters say 403.
# https://ga4gh.github.io/data-repository-service-schemas/
ACCEPTED = 202
WAITING_STATUSES = frozenset({ACCEPTED, 403})
# How long a file may be prepared. Tapes and cold archives need minutes to half a day.
MOST_PREPARING_SECONDS = 86_400.0
# While it is, the task is looked at after this share of the time that it has waited already.
PREPARING_SHARE = 0.1
# The longest wait of our own choosing: what one SQS message can be delayed by.
LONGEST_BACKOFF_SECONDS = 900.0
# The longest wait that an origin may ask for. Maintenance windows end within it; a task lives for days.
LONGEST_RETRY_AFTER_SECONDS = 6 * 3600.0
# How often a task may begin again because its file changed. Two are for the release that was being uploaded
# just then; a file that changes faster than it can be read has no digest to report.
MAX_RESTARTS = 3
# Slices of SLICE_SECONDS = 240 are four weeks of work, about as long as a task is kept.
MAX_SLICES = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """How one failure code is met.

    ``wait`` is the first wait, in units of RETRY_BASE_SECONDS; it doubles. ``most`` bounds the attempts without
    progress, None means MAX_ATTEMPTS.
    """

    retry: bool
    wait: float = 1.0
    most: int | None = None


NEVER = Policy(retry=False)
PATIENTLY = Policy(retry=True)
# Mostly a property of the origin, but one broken machine behind a balancer looks the same.
ONCE_MORE = Policy(retry=True, most=2)
# Whoever is replacing the file needs time to finish: a minute, by default.
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
    """Seconds to wait before the next try, or None when there is to be none.

    ``attempts`` counts the tries since the last progress, the one that just failed included. The wait doubles from
    the policy's first and is drawn from its upper half, so that tasks which failed together do not return together.
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
    """Seconds to wait, at least, for a file that its server has been preparing for ``seconds``; None when it is not.

    That is no failed try: only time bounds it.
    """
    is_preparing = isinstance(error, HttpFailed) and error.status == ACCEPTED and error.retry_after is not None
    return seconds * PREPARING_SHARE if is_preparing and seconds < MOST_PREPARING_SECONDS else None


def _may_pass(error: HttpFailed) -> bool:
    if error.status in WAITING_STATUSES:
        return error.retry_after is not None
    return error.status in PASSING_STATUSES


def spent(task: Task, *, attempts: int, max_attempts: int) -> Failure | None:
    """Why the unfinished ``task`` is not to be tried again after ``attempts`` tries without progress, if it is not."""
    if attempts >= max_attempts:
        # Only tries that nobody lived to settle count up to here, see ``delay``.
        died = f"the work stopped {max_attempts} times without getting any further"
        return task.error or Failure(FailureCode.INTERNAL, died)
    if task.slices > MAX_SLICES:
        return Failure(FailureCode.TIMEOUT, f"not finished after {MAX_SLICES} slices of work")
    return None
