"""The limits of open connections, in all and per client, and which connection makes way for a new one."""

from __future__ import annotations

import logging
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

    from urlsum.setting_values import Network

log = logging.getLogger("urlsum.server")

# A network of one subscriber (RFC 6177): a client with one IPv6 address has 2^64.
IPV6_CLIENT_BITS = 64


class Evictable(Protocol):
    """A connection that can be closed from outside."""

    def evict(self) -> None:
        """Close the connection at once."""
        ...


class Connections:
    """Every open connection, at most ``most``, and at most ``most_per_client`` of one client; 0 means no such limit.

    At a limit, the connection that has waited longest for a whole request is closed for the new one: that is never one
    whose request is being answered. An attacker who holds silent connections thus loses them to people who send
    requests. Not safe for threads: the event loop's only.
    """

    def __init__(self, most: int, most_per_client: int, trusted: tuple[Network, ...] = ()) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._trusted = trusted
        self._clients: dict[Evictable, Hashable] = {}
        self._counts: dict[Hashable, int] = {}
        # In the order in which the waits began; the values are unused.
        self._waiting: dict[Evictable, None] = {}
        self._waiting_of: dict[Hashable, dict[Evictable, None]] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, connection: Evictable, address: str | None) -> bool:
        """Whether there is, or could be made, a place for ``connection`` from ``address``; it then waits for a request.

        Connections from loopback and from ``trusted`` proxies count only towards the limit in all: everybody else may
        come from there.
        """
        client = _client(address, self._trusted)
        if client is not None and 0 < self._most_per_client <= self._counts.get(client, 0):
            log.warning("a client has reached MAX_CONNECTIONS_PER_CLIENT (%s)", self._most_per_client)
            if not self._evict_from(self._waiting_of.get(client)):
                return False
        if len(self._clients) >= self._most:
            log.warning("MAX_CONNECTIONS (%s) is reached", self._most)
            if not self._evict_from(self._waiting):
                return False
        self._clients[connection] = client
        self._counts[client] = self._counts.get(client, 0) + 1
        self.waits(connection)
        return True

    def waits(self, connection: Evictable) -> None:
        """``connection`` waits for a request, or for the rest of one. It keeps its place if it did so already."""
        if connection in self._clients and connection not in self._waiting:
            self._waiting[connection] = None
            self._waiting_of.setdefault(self._clients[connection], {})[connection] = None

    def is_busy(self, connection: Evictable) -> None:
        """``connection`` has a whole request, which is being answered."""
        if connection in self._waiting:
            del self._waiting[connection]
            client = self._clients[connection]
            del self._waiting_of[client][connection]
            if not self._waiting_of[client]:
                del self._waiting_of[client]

    def remove(self, connection: Evictable) -> None:
        """``connection`` is closed; do nothing if it is unknown."""
        self.is_busy(connection)
        if connection in self._clients:
            client = self._clients.pop(connection)
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    def _evict_from(self, waiting: dict[Evictable, None] | None) -> bool:
        if not waiting:
            return False
        longest = next(iter(waiting))
        self.remove(longest)
        longest.evict()
        return True


def _client(address: str | None, trusted: tuple[Network, ...]) -> Hashable:
    """Who is behind ``address``: an IPv4 address or the /64 of an IPv6 one; None for loopback and ``trusted``."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback or any(parsed in network for network in trusted):
        return None
    return int(parsed) >> (parsed.max_prefixlen - IPV6_CLIENT_BITS) if isinstance(parsed, IPv6Address) else parsed
