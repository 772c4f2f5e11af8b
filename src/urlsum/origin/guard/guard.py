"""SSRF protection: which URLs and addresses may be contacted, and the only way to a socket.

The first connection, every redirect and every reconnect pass here. The guard judges the URL, then every address of its
name, and connects to exactly one judged address. DNS rebinding gains nothing: the result of every lookup is judged, and
no second lookup lies between judgement and connection.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from urlsum.errors import Blocked, ConnectFailed, DeadlineReached, DnsFailed, InvalidUrl
from urlsum.origin.guard.addresses import why_never, why_special, with_embedded_ipv4
from urlsum.origin.guard.dns import resolve, system_resolver
from urlsum.origin.guard.nat64 import Nat64
from urlsum.origin.guard.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver
    from urlsum.origin.guard.url import Target
    from urlsum.settings import Network, Settings

    Dial = Callable[[Address, int, float], socket.socket]
    """Connects to an address and port within some seconds. Raises OSError."""

# Names that mean another machine in every network: RFC 6761 (localhost), RFC 6762 (local), ICANN's internal,
# RFC 8375 (home.arpa), and localdomain of /etc/hosts files.
LOCAL_SUFFIXES = frozenset({"localhost", "localdomain", "local", "internal", "home.arpa"})
# More addresses than any origin needs. All are judged, but each attempt takes its share of CONNECT_TIMEOUT.
MAX_ADDRESSES_TRIED = 8


class Guard:
    """Judges URLs and addresses by the settings, and opens sockets to judged addresses only.

    ``resolve`` and ``dial`` are the operating system's unless a test passes its own.
    """

    def __init__(self, settings: Settings, *, resolve: Resolver = system_resolver, dial: Dial | None = None) -> None:
        self._allowed_networks = settings.allowed_networks
        self._allowed_ports = settings.allowed_ports
        self._denied = DenyList(settings.blocked_hosts)
        self._on_lambda = settings.on_lambda
        self._connect_timeout = settings.connect_timeout
        self._resolve = resolve
        self._nat64 = Nat64(resolve)
        self._dial = dial or _open_socket
        self._own = _parsed(settings.public_url)

    def inspect(self, url: str) -> Target:
        """Judge ``url`` as far as that needs no lookup: grammar, port, literal address. No I/O.

        Raises InvalidUrl for the grammar, Blocked for the rest.
        """
        judged = parse(url)
        if self._is_own(judged):
            raise Blocked(f"{judged}: this is the address of urlsum itself")
        if self._denied.has_host(judged.host):
            raise Blocked(f"{judged}: {judged.host} is on the deny list of this service (BLOCKED_HOSTS)")
        if judged.address is not None:
            self._judge(judged, judged.address)
        elif not self._allowed_networks:
            if "." not in judged.host or _ends_in(judged.host, LOCAL_SUFFIXES):
                raise Blocked(f"{judged}: {judged.host} is a local name; urlsum connects to public hosts only")
            if judged.port not in self._allowed_ports:
                raise Blocked(f"{judged}: {self._about_port(judged.port)}")
        return judged

    def connect(self, judged: Target, *, deadline: Deadline) -> socket.socket:
        """Resolve the host, judge every address, and connect to exactly one of them.

        All of it takes at most CONNECT_TIMEOUT seconds. Addresses that refuse or stay silent are a ConnectFailed.
        Raises Blocked, DnsFailed, ConnectFailed, and DeadlineReached when ``deadline`` comes first.
        """
        limit = deadline.within(self._connect_timeout)
        addresses = self._addresses(judged, limit, deadline)
        for address in addresses:
            self._judge(judged, address)
            if isinstance(address, IPv6Address):
                # A lookup that hangs must leave time to connect.
                ipv4 = self._nat64.ipv4_in(address, within=limit.remaining() / 2, clock=limit.clock)
                if ipv4 is not None:
                    self._judge(judged, ipv4)
        tried = addresses[:MAX_ADDRESSES_TRIED]
        failures = []
        for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
            # A silent address must leave time for the next ones.
            share = limit.remaining() / left
            if share <= 0:
                break
            try:
                return self._dial(address, judged.port, share)
            except OSError as exc:
                failures.append(exc)
        if deadline.expired:
            raise DeadlineReached
        reason = failures[-1].strerror or str(failures[-1]) if failures else "no time left"
        raise ConnectFailed(
            f"{judged}: could not connect to {', '.join(map(str, tried))} on port {judged.port}: {reason}"
        ) from (failures[-1] if failures else None)

    def _addresses(self, judged: Target, limit: Deadline, deadline: Deadline) -> list[Address]:
        within = limit.remaining()
        if within <= 0:
            raise DeadlineReached
        if judged.address is not None:
            return [judged.address]
        try:
            addresses = resolve(judged.host, self._resolve, within=within)
        except TimeoutError as exc:
            if deadline.ended(limit):
                raise DeadlineReached from exc
            raise DnsFailed(f"{judged}: the DNS lookup of {judged.host} got {exc}") from exc
        except (OSError, ValueError) as exc:
            # ValueError: ipaddress rejects the form of the address, or getaddrinfo the name.
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise DnsFailed(f"{judged}: {judged.host} does not resolve: {reason}") from exc
        if not addresses:
            raise DnsFailed(f"{judged}: {judged.host} has no address")
        return addresses

    def _judge(self, judged: Target, address: Address) -> None:
        if reason := why_never(address, on_lambda=self._on_lambda):
            raise Blocked(f"{judged}: {address} is {reason}; no setting allows it")
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise Blocked(f"{judged}: {address} has a zone, so it is not a public address")
        if self._denied.has_address(address):
            raise Blocked(f"{judged}: {address} is on the deny list of this service (BLOCKED_HOSTS)")
        if any(address in network for network in self._allowed_networks):
            return
        if reason := why_special(address):
            raise Blocked(
                f"{judged}: {address} is {reason}; urlsum connects to public addresses only"
                " (on your own machine, ALLOWED_NETWORKS allows others)"
            )
        if judged.port not in self._allowed_ports:
            raise Blocked(f"{judged}: {self._about_port(judged.port)}")

    def _about_port(self, port: int) -> str:
        return f"port {port} is not allowed; ALLOWED_PORTS has {', '.join(map(str, sorted(self._allowed_ports)))}"

    def _is_own(self, judged: Target) -> bool:
        if self._own is None or judged.host != self._own.host:
            return False
        # Operators who open networks run urlsum themselves, and keep files on other ports of the same machine.
        return not self._allowed_networks or judged.port == self._own.port


def _parsed(public_url: str | None) -> Target | None:
    if public_url is None:
        return None
    try:
        return parse(public_url)
    except InvalidUrl:
        # The settings check PUBLIC_URL themselves; a URL that does not parse cannot be submitted either.
        return None


def _ends_in(host: str, suffixes: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[start:]) in suffixes for start in range(len(labels)))


def _open_socket(address: Address, port: int, within: float) -> socket.socket:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(within)
        connection.connect((str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


class DenyList:
    """The hosts, ``.suffixes`` (a domain and its subdomains) and networks of BLOCKED_HOSTS."""

    def __init__(self, entries: Iterable[Network | str]) -> None:
        names = [entry for entry in entries if isinstance(entry, str)]
        self._hosts = frozenset(name.removeprefix(".") for name in names)
        self._suffixes = tuple(name for name in names if name.startswith("."))
        self._networks = tuple(entry for entry in entries if not isinstance(entry, str))

    def has_host(self, host: str) -> bool:
        """Whether ``host``, in its normal spelling, is on the list."""
        return host in self._hosts or host.endswith(self._suffixes)

    def has_address(self, address: Address) -> bool:
        """Whether ``address``, or an IPv4 address that it embeds, is in a network of the list."""
        return any(form in network for form in with_embedded_ipv4(address) for network in self._networks)
