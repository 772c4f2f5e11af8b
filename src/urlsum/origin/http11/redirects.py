"""Redirects: the statuses that are followed, and the next target. ``Client.get`` bounds their number and their time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from urlsum.errors import BadRedirect, Blocked, InvalidUrl
from urlsum.origin.http11.phrases import INVALID_LOCATION, NO_LOCATION

if TYPE_CHECKING:
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.response import ResponseHead

# Followed with GET, as the request was a GET (RFC 9110, 15.4). 300 leaves the choice to a person, 304 has no body,
# 305 and 306 are obsolete.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Some sites redirect to the name with the root's dot until it is in Host (curl/curl#8290).
_ROOTED = re.compile(r"https?://[^/?#:]+\.(?:[:/?#]|$)", re.IGNORECASE)
# Where a fault in the grammar of URLs quotes a piece of the URL, which the origin wrote.
_QUOTES = re.compile(r"['\"\[]")


def next_target(head: ResponseHead, target: Target, guard: Guard, address: Address | None) -> Target:
    """The judged target of the Location in ``head``, a response of ``target`` from ``address``, if that is known.

    Raises BadRedirect, Blocked, ProtocolViolated.
    """
    location = head.get_bytes("location")
    if not location:
        raise BadRedirect(f"{target}: status {head.status} {NO_LOCATION}")
    private = address is not None and guard.may_stay_private(target, address)
    try:
        url = target.resolve(location.decode("utf-8", "surrogateescape"))
        following = guard.inspect(url, redirect=True, private=private)
    except InvalidUrl as exc:
        why = "" if _QUOTES.search(exc.reason) else f": {exc.reason}"
        raise BadRedirect(f"{target}: {INVALID_LOCATION}{why}", raw=_shown(location)) from exc
    except Blocked as exc:
        exc.redirected = True
        raise
    if target.secure and not following.secure:
        # An https URL promises that nobody on the network path can change the bytes. A digest of bytes that
        # anybody could change would break that promise silently.
        raise BadRedirect(
            f"{target}: redirects from https to http, where anyone on the network path could alter the file",
            raw=_shown(location),
        )
    rooted = following.address is None and _ROOTED.match(url) is not None
    return replace(following, redirected_from=target.redirected_from or target.url, rooted=rooted)


def _shown(location: bytes) -> bytes:
    """``location`` for the log, without its query, which may be a signature."""
    path, mark, _ = location.partition(b"?")
    return path + b"?..." if mark else path
