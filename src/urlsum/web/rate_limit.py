"""The fields RateLimit-Policy and RateLimit: what a client may use, and what is left of it.

draft-ietf-httpapi-ratelimit-headers-11, the newest draft in 2026; the fields are lists of RFC 9651.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.limits.quota import WINDOWS, Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.errors import LimitReached

# The largest Integer of RFC 9651, 3.3.1.
MOST = 999_999_999_999_999


def fields(allowances: Iterable[Allowance]) -> dict[str, str]:
    """Both fields; none if the client has no limits.

    >>> fields([Allowance("minute", 60, 59, 30)])
    {'RateLimit-Policy': '"minute";q=60;w=60', 'RateLimit': '"minute";r=59;t=30'}
    """
    policies, limits = [], []
    for allowance in allowances:
        unit, window = allowance.unit, allowance.window
        policies.append(
            f'"{allowance.limit}";q={min(allowance.quota, MOST)}'
            + (f';qu="{unit}"' if unit else "")
            + (f";w={window}" if window else "")
        )
        left = f'"{allowance.limit}";r={min(allowance.remaining, MOST)}'
        limits.append(left if allowance.seconds is None else f"{left};t={allowance.seconds}")
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)} if policies else {}


def refused(refusal: LimitReached) -> dict[str, str]:
    """The fields of a 429: of the limit that was reached alone, so that Retry-After covers its window (draft, 6)."""
    seconds = refusal.seconds if refusal.limit in WINDOWS else None
    reached = Allowance(refusal.limit, refusal.quota, 0, seconds)
    return {"Retry-After": str(refusal.seconds), **fields([reached])}
