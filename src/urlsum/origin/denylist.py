"""The operator's deny list: origins that asked to be left alone. It holds whatever else the settings open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.origin.addresses import forms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.origin.addresses import Address
    from urlsum.settings import Network


class DenyList:
    """Hosts, ``.suffixes`` (a domain and all below it) and networks, as BLOCKED_HOSTS names them."""

    def __init__(self, entries: Iterable[Network | str]) -> None:
        names = [entry for entry in entries if isinstance(entry, str)]
        self._hosts = frozenset(name.removeprefix(".") for name in names)
        self._suffixes = tuple(name for name in names if name.startswith("."))
        self._networks = tuple(entry for entry in entries if not isinstance(entry, str))

    def has_host(self, host: str) -> bool:
        """Whether ``host``, in its normal spelling, is on the list."""
        return host in self._hosts or host.endswith(self._suffixes)

    def has_address(self, address: Address) -> bool:
        """Whether ``address``, or an IPv4 address that it stands for, is in a network of the list."""
        return any(form in network for form in forms(address) for network in self._networks)
