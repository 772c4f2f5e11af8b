"""The NAT64 prefixes that this network has chosen (RFC 6052, 2.2).

``prefix::10.0.0.1`` looks like a public address and leads inside. The address does not show the prefix, but a
translating network does: it invents an IPv6 address for a name that has none (RFC 7050).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from urlsum.origin.guard.addresses import PREFIX_LENGTHS, embedded_ipv4
from urlsum.origin.guard.dns import by_family
from urlsum.origin.guard.known import KEPT_SECONDS, KnownAddresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver

# RFC 7050, 8.2: the well-known name, and its two addresses. With the root's dot, so that no search list changes it.
WELL_KNOWN_NAME = "ipv4only.arpa."
WELL_KNOWN_ADDRESSES = frozenset({IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171")})
# A laptop may move to another network, so an answer counts for KEPT_SECONDS. It is looked up again at half of that: the
# other half is for a name server that fails meanwhile.
REFRESH_SECONDS = KEPT_SECONDS / 2


class Nat64:
    """The NAT64 prefixes of this network, looked up at first use and kept up to date."""

    def __init__(self, resolver: Resolver) -> None:
        # Only the IPv6 addresses: if their query failed, one for both would look like a network without a prefix.
        self._known = KnownAddresses([WELL_KNOWN_NAME], by_family(resolver)[-1:], refresh_seconds=REFRESH_SECONDS)

    def prefixes(self, deadline: Deadline) -> tuple[IPv6Network, ...] | None:
        """The prefixes; none is an answer too, and None means that there was none yet: any address may lead inside.

        The first look-up of the process takes at most ``known.LOOK_UP_SECONDS``, later ones no time.
        """
        self._known.begin(deadline.clock())
        self._known.wait(deadline)
        if not self._known.answered_since(deadline.clock() - KEPT_SECONDS):
            return None
        return prefixes(self._known.addresses)


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
