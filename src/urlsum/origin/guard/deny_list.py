"""The deny list of the operator: BLOCKED_HOSTS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.origin.guard.addresses import with_embedded_ipv4
from urlsum.origin.guard.known import KnownAddresses

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver
    from urlsum.setting_values import Network

# The usual lifetime of the record of a host that may move. A list of a thousand names makes seven queries a second.
REFRESH_SECONDS = 300.0


class DenyList:
    """The hosts, ``.suffixes`` (a domain and its subdomains) and networks of BLOCKED_HOSTS.

    Also the addresses of the hosts, and of each suffix's own domain: its subdomains cannot be listed. ``spelled``
    gives the name to look up for a host.
    """

    def __init__(
        self, entries: Iterable[Network | str], resolvers: tuple[Resolver, ...], spelled: Callable[[str], str]
    ) -> None:
        names = [entry for entry in entries if isinstance(entry, str)]
        self._hosts = frozenset(name.removeprefix(".") for name in names)
        self._suffixes = tuple(name for name in names if name.startswith("."))
        self._networks = tuple(entry for entry in entries if not isinstance(entry, str))
        self._known = KnownAddresses(
            [spelled(host) for host in sorted(self._hosts)], resolvers, refresh_seconds=REFRESH_SECONDS
        )

    def begin(self, now: float) -> None:
        """Begin the look-ups, if they are due."""
        self._known.begin(now)

    def wait(self, deadline: Deadline) -> None:
        """Wait for the first look-ups, see ``KnownAddresses.wait``."""
        self._known.wait(deadline)

    def has_host(self, host: str) -> bool:
        """Whether ``host``, in its normal spelling, is on the list."""
        return host in self._hosts or host.endswith(self._suffixes)

    def has_address(self, address: Address) -> bool:
        """Whether ``address``, or an IPv4 address that it embeds, is in a network of the list."""
        return any(form in network for form in with_embedded_ipv4(address) for network in self._networks)

    def has_host_at(self, addresses: Collection[Address]) -> bool:
        """Whether a host of the list has one of ``addresses``, as far as is known.

        A look-up that fails opens and closes nothing: the owner of a denied host could fail it on purpose.
        """
        return not self._known.addresses.isdisjoint(addresses)
