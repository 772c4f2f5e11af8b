"""The prefixes by which this network translates IPv6 to IPv4, where they are of its own choice (RFC 6052, 2.2).

``prefix::10.0.0.1`` looks like any public address, and leads inside. Which prefix that is cannot be told from the
address; but a network that translates says so to who asks for the IPv6 address of a name that has none (RFC 7050).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from urlsum.origin import resolver
from urlsum.origin.addresses import PREFIX_LENGTHS, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urlsum.origin.addresses import Address
    from urlsum.origin.resolver import Resolver

# RFC 7050, 8.2: the name, and the two addresses that it has.
NAME = "ipv4only.arpa"
ADDRESSES = frozenset({IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171")})
# The look-up goes to the name server that has just answered for the origin, so it is fast, or something is wrong.
LOOK_UP_SECONDS = 2.0
# A laptop may move to another network; a name server that failed may be well again sooner.
KEPT_SECONDS = 3600.0
KEPT_AFTER_FAILURE_SECONDS = 60.0


class Nat64:
    """The prefixes of this network, looked up when they are first needed and again from time to time."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._prefixes: tuple[IPv6Network, ...] = ()
        self._good_until = 0.0
        self._known = False

    def ipv4_in(self, address: IPv6Address, *, within: float, clock: Callable[[], float]) -> IPv4Address | None:
        """The IPv4 address that ``address`` leads to by a prefix of this network, None when it leads to none.

        Takes at most ``within`` seconds. A look-up that fails finds no prefix: most networks have none.
        """
        if not self._known or clock() >= self._good_until:
            kept = KEPT_SECONDS
            try:
                self._prefixes = prefixes(resolver.resolve(NAME, self._resolve, within=min(within, LOOK_UP_SECONDS)))
            except (OSError, ValueError):
                kept = KEPT_AFTER_FAILURE_SECONDS
            self._known, self._good_until = True, clock() + kept
        for prefix in self._prefixes:
            if address in prefix:
                return translated(address, prefix.prefixlen)
        return None


def prefixes(answers: Iterable[Address]) -> tuple[IPv6Network, ...]:
    """The prefixes that made these addresses of ``ipv4only.arpa``.

    >>> prefixes([IPv6Address("2001:db8:64::192.0.0.170")])
    (IPv6Network('2001:db8:64::/96'),)
    """
    found = (
        IPv6Network((answer, length), strict=False)
        for answer in answers
        if isinstance(answer, IPv6Address)
        for length in PREFIX_LENGTHS
        if translated(answer, length) in ADDRESSES
    )
    return tuple(dict.fromkeys(found))
