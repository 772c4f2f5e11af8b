"""The NAT64 prefixes that this network has chosen (RFC 6052, 2.2).

``prefix::10.0.0.1`` looks like a public address and leads inside. The address does not show the prefix, but a
translating network does: it invents an IPv6 address for a name that has none (RFC 7050).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from urlsum.origin.guard.addresses import PREFIX_LENGTHS, embedded_ipv4
from urlsum.origin.guard.dns import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver

# RFC 7050, 8.2: the well-known name, and its two addresses.
WELL_KNOWN_NAME = "ipv4only.arpa"
WELL_KNOWN_ADDRESSES = frozenset({IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171")})
# The name server has just resolved the origin's name, so this lookup is fast, or something is wrong.
LOOK_UP_SECONDS = 2.0
# A laptop may move to another network. A failed name server may recover sooner.
CACHED_SECONDS = 3600.0
CACHED_AFTER_FAILURE_SECONDS = 60.0


class Nat64:
    """The NAT64 prefixes of this network, looked up at first use and again when the cache expires."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._prefixes: tuple[IPv6Network, ...] = ()
        self._expires_at = 0.0
        self._looked_up = False

    def ipv4_in(self, address: IPv6Address, *, within: float, clock: Callable[[], float]) -> IPv4Address | None:
        """The IPv4 address that ``address`` embeds after a prefix of this network; None without one.

        Takes at most ``within`` seconds. A failed lookup finds no new prefix: most networks have none.
        """
        if not self._looked_up or clock() >= self._expires_at:
            cached_seconds = CACHED_SECONDS
            try:
                self._prefixes = prefixes(resolve(WELL_KNOWN_NAME, self._resolve, within=min(within, LOOK_UP_SECONDS)))
            except (OSError, ValueError):
                cached_seconds = CACHED_AFTER_FAILURE_SECONDS
            self._looked_up, self._expires_at = True, clock() + cached_seconds
        for prefix in self._prefixes:
            if address in prefix:
                return embedded_ipv4(address, prefix.prefixlen)
        return None


def prefixes(answers: Iterable[Address]) -> tuple[IPv6Network, ...]:
    """The prefixes in these addresses of ``ipv4only.arpa``.

    >>> prefixes([IPv6Address("2001:db8:64::192.0.0.170")])
    (IPv6Network('2001:db8:64::/96'),)
    """
    matching = (
        IPv6Network((answer, length), strict=False)
        for answer in answers
        if isinstance(answer, IPv6Address)
        for length in PREFIX_LENGTHS
        if embedded_ipv4(answer, length) in WELL_KNOWN_ADDRESSES
    )
    return tuple(dict.fromkeys(matching))
