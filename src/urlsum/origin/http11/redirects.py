"""Redirects: the statuses that are followed, and the next target. ``Client.get`` bounds their number and their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import BadRedirect, Blocked, InvalidUrl
from urlsum.origin.http11.phrases import INVALID_LOCATION, NO_LOCATION

if TYPE_CHECKING:
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.response import ResponseHead

# Followed with GET, as the request was a GET (RFC 9110, 15.4). 300 leaves the choice to a person, 304 has no body,
# 305 and 306 are obsolete.
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def next_target(head: ResponseHead, target: Target, guard: Guard) -> Target:
    """The judged target of the Location in ``head``, a response of ``target``.

    Raises BadRedirect, Blocked, ProtocolViolated.
    """
    location = head.get_bytes("location")
    if not location:
        raise BadRedirect(f"{target}: status {head.status} {NO_LOCATION}")
    try:
        following = guard.inspect(target.resolve(location.decode("utf-8", "surrogateescape")))
    except InvalidUrl as exc:
        raise BadRedirect(f"{target}: {INVALID_LOCATION}: {exc.reason}") from exc
    except Blocked as exc:
        exc.redirected = True
        raise
    if target.secure and not following.secure:
        # An https URL promises that nobody on the network path can change the bytes. A digest of bytes that
        # anybody could change would break that promise silently.
        raise BadRedirect(
            f"{target}: redirects from https to {following}, where anyone on the network path could alter the file"
        )
    return following
