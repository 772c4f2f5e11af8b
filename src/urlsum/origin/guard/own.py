"""The addresses of urlsum itself: those of this machine's interfaces, and those of PUBLIC_URL's host.

A machine reaches its own public addresses behind its own firewall, on ports that nobody else can reach.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from urlsum.origin.guard.known import KnownAddresses

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver

# A machine gets another address rarely, and at first nobody knows it. To list them takes less than 0.1 ms.
LISTED_SECONDS = 10.0
# The usual lifetime of the record of a host that may move.
REFRESH_SECONDS = 300.0


class OwnAddresses:
    """``name`` is PUBLIC_URL's host as it is looked up, None for none; ``literal`` its address if it is one.

    While a ``required`` name has no answer, each of its families is unknown.
    """

    def __init__(
        self,
        name: str | None,
        literal: Address | None,
        resolvers: tuple[Resolver, ...],
        *,
        required: bool,
        list_interfaces: Callable[[], Collection[Address]],
    ) -> None:
        names = [] if name is None else [name]
        # One for each family: name servers that answer one of them and fail on the other are not rare.
        self._known = [KnownAddresses(names, (each,), refresh_seconds=REFRESH_SECONDS) for each in resolvers]
        self._literal = literal
        self._required = required
        self._list_interfaces = list_interfaces
        self._listed: frozenset[Address] = frozenset()
        self._list_at = float("-inf")

    def begin(self, now: float) -> None:
        """List the interfaces and begin the look-ups, if that is due. Raises OSError if the first list fails."""
        if now >= self._list_at:
            try:
                self._listed = frozenset(self._list_interfaces())
            except OSError:
                if not self._listed:
                    raise
            self._list_at = now + LISTED_SECONDS
        for known in self._known:
            known.begin(now)

    def wait(self, deadline: Deadline) -> None:
        """Wait for the first look-ups, see ``KnownAddresses.wait``."""
        for known in self._known:
            known.wait(deadline)

    def on_interfaces(self, addresses: Collection[Address]) -> bool:
        """Whether an interface of this machine has one of ``addresses``."""
        return not self._listed.isdisjoint(addresses)

    def of_public_url(self, addresses: Collection[Address]) -> bool:
        """Whether PUBLIC_URL's host has one of ``addresses``, as far as is known."""
        return self._literal in addresses or any(not each.addresses.isdisjoint(addresses) for each in self._known)

    def unknown(self, address: Address) -> bool:
        """Whether it is not known yet if PUBLIC_URL's host has an address of the family of ``address``."""
        return self._required and not self._known[0 if isinstance(address, IPv4Address) else -1].complete
