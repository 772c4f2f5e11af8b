"""Tells errors of a range request from errors of the file: RangeRefused leaves the decision to a plain GET.

A range says nothing about the file that a plain GET does not say as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from urlsum.errors import (
    BadRedirect,
    Blocked,
    Changed,
    ConnectFailed,
    DnsFailed,
    HttpFailed,
    Incomplete,
    ProtocolViolated,
    TimedOut,
    TlsFailed,
    Unverifiable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Client errors that do not concern the range (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4).
TRANSIENT_4XX = frozenset({408, 425, 429})
# Server errors that concern the request itself (RFC 9110, 15.6.2 and 15.6.6): the same request meets them again.
PERMANENT_5XX = frozenset({501, 505})


class RangeRefused(Exception):
    """A range request had no usable response.

    ``transient``: the same request may work a moment later. ``other_bytes``: the range has other bytes than were read
    there before. ``other_length``: the response gives another length of the file.
    """

    def __init__(
        self, reason: object, *, transient: bool = False, other_bytes: bool = False, other_length: bool = False
    ) -> None:
        super().__init__(words(reason))
        self.transient = transient
        self.other_bytes = other_bytes
        self.other_length = other_length


def words(reason: object) -> str:
    """``reason`` for the text of another error, which strangers may read.

    An error of the guard names a host that a redirect chose, and tells whether it answers.
    """
    if isinstance(reason, Blocked | ConnectFailed | DnsFailed):
        return "a redirect leads to a host that urlsum cannot reach"
    return str(reason)


class OverlapMismatch(Changed):
    """The bytes before the offset are not those that were hashed."""


@contextmanager
def range_refusals(passed: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Convert errors of a range request that a plain GET may not meet into RangeRefused; ``passed`` stays as it is."""
    try:
        yield
    except passed:
        raise
    except HttpFailed as exc:
        # Retry-After forbids an immediate second request for the range.
        raise RangeRefused(exc, transient=is_transient(exc.status) and exc.retry_after is None) from exc
    except OverlapMismatch as exc:
        # Another range, another coding, or a changed file: a plain GET shows which.
        raise RangeRefused(exc, other_bytes=True) from exc
    except (ProtocolViolated, BadRedirect, Unverifiable, Changed) as exc:
        raise RangeRefused(exc) from exc
    except (Incomplete, TimedOut) as exc:
        raise RangeRefused(exc, transient=True) from exc
    except (ConnectFailed, DnsFailed, TlsFailed, Blocked) as exc:
        # Only a range request may be redirected, so only an error after a redirect is a refusal of the range. The host
        # of the submitted URL is the same for both.
        if exc.redirected:
            raise RangeRefused(exc) from exc
        raise


def is_transient(status: int) -> bool:
    """Whether a later request may succeed after ``status``, with or without a range."""
    if status < 500:  # noqa: PLR2004 - RFC 9110, 15.6
        return status in TRANSIENT_4XX
    return status not in PERMANENT_5XX
