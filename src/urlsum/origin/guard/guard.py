"""SSRF protection: which URLs and addresses may be contacted, and the only way to a socket.

The first connection, every redirect and every reconnect pass here. The guard judges the URL, then every address of its
name, and connects to exactly one judged address. DNS rebinding gains nothing: the result of every lookup is judged, and
no second lookup lies between judgement and connection.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from urlsum.errors import AddressRefused, Blocked, ConnectFailed, DeadlineReached, DnsFailed, InvalidUrl
from urlsum.origin.guard.addresses import embedded_ipv4, why_never, why_special, with_embedded_ipv4
from urlsum.origin.guard.deny_list import DenyList
from urlsum.origin.guard.dns import by_family, resolve, system_resolver
from urlsum.origin.guard.nat64 import Nat64
from urlsum.origin.guard.own import OwnAddresses
from urlsum.origin.guard.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver
    from urlsum.origin.guard.url import Target
    from urlsum.settings import Settings

    Dial = Callable[[Address, int, float], socket.socket]
    """Connects to an address and port within some seconds. Raises OSError."""
    Admit = Callable[[Address], None]
    """Decides whether a judged address may be tried now. Raises OSError if not."""

# Names that mean another machine in every network: RFC 6761 (localhost), RFC 6762 (local), ICANN's internal,
# RFC 8375 (home.arpa), and localdomain of /etc/hosts files.
LOCAL_SUFFIXES = frozenset({"localhost", "localdomain", "local", "internal", "home.arpa"})
# More addresses than any origin needs. All are judged, but each attempt takes its share of CONNECT_TIMEOUT.
MAX_ADDRESSES_TRIED = 8
_LOOPBACK_V6 = IPv6Address("::1")


class Openers(NamedTuple):
    """The names, for the text of a refusal, of the settings or options that would open an address or a port.

    ``private`` opens the addresses of URLs that a person gave; ``networks`` those of redirects too.
    """

    private: str = "ALLOWED_NETWORKS"
    networks: str = "ALLOWED_NETWORKS"
    ports: str = "ALLOWED_PORTS"


def _interface_addresses() -> Collection[Address]:
    # With ctypes, which a function that only parses URLs does not need: 2 ms of its cold start.
    from urlsum.origin.guard.interfaces import interface_addresses  # noqa: PLC0415

    return interface_addresses()


class Guard:
    """Judges URLs and addresses by the settings, and opens sockets to judged addresses only.

    With ``allow_private``, addresses that are not public are open, on every port, to each URL that a person gave, and
    to redirects from such an address; redirects from a public address get no further than without it. ``resolve``,
    ``dial`` and ``list_interfaces`` are the operating system's unless a test passes its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        allow_private: bool = False,
        openers: Openers = Openers(),  # noqa: B008 - immutable
        resolve: Resolver = system_resolver,
        dial: Dial | None = None,
        list_interfaces: Callable[[], Collection[Address]] = _interface_addresses,
    ) -> None:
        self._allow_private = allow_private
        self._openers = openers
        self._allowed_networks = settings.allowed_networks
        self._allowed_ports = settings.allowed_ports
        self._shared_networks = settings.shared_networks
        self._on_lambda = settings.on_lambda
        self._connect_timeout = settings.connect_timeout
        self._resolve = resolve
        self._dial = dial or _open_socket
        self._public_url = public_url = _parsed(settings.public_url)
        resolvers = by_family(resolve)
        self._nat64 = Nat64(resolve)
        self._denied = DenyList(settings.blocked_hosts, resolvers, self._spelled)
        self._own = OwnAddresses(
            self._spelled(public_url.host) if public_url and public_url.address is None else None,
            public_url.address if public_url else None,
            resolvers,
            # A name that is local anyway has no public address to close.
            required=public_url is not None and public_url.address is None and not _is_local(public_url.host),
            list_interfaces=list_interfaces,
        )

    def inspect(self, url: str, *, redirect: bool = False, private: bool = False) -> Target:
        """Judge ``url`` as far as that needs no lookup: grammar, port, literal address. No I/O.

        ``redirect``: a server named it, and private addresses are open to it only if ``private``. Raises InvalidUrl
        for the grammar, Blocked for the rest.
        """
        judged = replace(parse(url), private=private if redirect else self._allow_private)
        opener = self._openers.networks if redirect else self._openers.private
        if self._is_own(judged):
            raise Blocked(f"{judged}: this is the address of urlsum itself")
        if self._denied.has_host(judged.host):
            raise Blocked(f"{judged}: {judged.host} is on the deny list of this service (BLOCKED_HOSTS)")
        if judged.address is not None:
            for reason in self._objections(judged, judged.address, opener, looked_up=False):
                raise Blocked(f"{judged}: {reason}")
        elif not (self._allowed_networks or judged.private):
            if _is_local(judged.host):
                raise Blocked(
                    f"{judged}: {judged.host} is a local name; urlsum connects to public hosts only"
                    f" (on your own machine, {opener} allows others)"
                )
            if judged.port not in self._allowed_ports:
                raise Blocked(f"{judged}: {self._about_port(judged.port)}")
        return judged

    def may_stay_private(self, target: Target, address: Address) -> bool:
        """Whether private addresses are open to a redirect from ``target``, which was reached at ``address``."""
        return target.private and (why_special(address) is not None or self._own.on_interfaces((address,)))

    def connect(self, judged: Target, *, deadline: Deadline, admit: Admit | None = None) -> socket.socket:
        """Resolve the host, judge every address, and connect to exactly one of them.

        All of it takes at most CONNECT_TIMEOUT seconds; the first time in a process the look-ups of what the guard must
        know come on top, twice ``known.LOOK_UP_SECONDS`` at most. Addresses that refuse, stay silent or are not let in
        by ``admit`` are a ConnectFailed. Raises AddressRefused and other DnsFailed, ConnectFailed, and DeadlineReached
        when ``deadline`` comes first.
        """
        # Before the look-up of the host, so that it takes the same time whether the host exists or not.
        self._learn(judged, deadline)
        limit = deadline.within(self._connect_timeout)
        addresses = self._addresses(judged, limit, deadline)
        for address in addresses:
            self._refuse(judged, address)
        left = limit.remaining()
        addresses = self._open(judged, addresses, deadline)
        limit = deadline.within(left)
        tried = addresses[:MAX_ADDRESSES_TRIED]
        failures = []
        for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
            # A silent address must leave time for the next ones.
            share = limit.remaining() / left
            if share <= 0:
                break
            try:
                if admit is not None:
                    admit(address)
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
            addresses = resolve(self._spelled(judged.host, private=judged.private), self._resolve, within=within)
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

    def _learn(self, judged: Target, deadline: Deadline) -> None:
        now = deadline.clock()
        try:
            self._own.begin(now)
        except OSError as exc:
            raise ConnectFailed(f"{judged}: cannot list the addresses of this machine: {exc}") from exc
        self._denied.begin(now)
        self._own.wait(deadline)
        self._denied.wait(deadline)

    def _refuse(self, judged: Target, address: Address) -> None:
        opener = self._openers.private if judged.redirected_from is None else self._openers.networks
        for reason in self._objections(judged, address, opener, looked_up=True):
            raise AddressRefused(f"{judged}: {reason}")

    def _open(self, judged: Target, addresses: list[Address], deadline: Deadline) -> list[Address]:
        """Those of the judged ``addresses`` of which enough is known to connect. Raises what ``connect`` does.

        Where a look-up failed that would show an address inside, its family stays closed for now.
        """
        opened, closed = [], ""
        for address in addresses:
            # Loopback leads to no translator, and works where there is no DNS.
            if isinstance(address, IPv6Address) and address != _LOOPBACK_V6:
                prefixes = self._nat64.prefixes(deadline)
                if prefixes is None:
                    closed = "IPv6 is closed until it is known whether this network has a NAT64 prefix (ipv4only.arpa)"
                    continue
                for prefix in prefixes:
                    if address in prefix:
                        self._refuse(judged, embedded_ipv4(address, prefix.prefixlen))
            if self._own.unknown(address) and not self._is_allowed(address) and not judged.private:
                closed = "closed until the addresses of PUBLIC_URL are known: its name does not resolve now"
                continue
            opened.append(address)
        if not opened:
            if deadline.expired:
                raise DeadlineReached
            raise ConnectFailed(f"{judged}: {', '.join(map(str, addresses[:MAX_ADDRESSES_TRIED]))}: {closed}")
        return opened

    def _objections(self, judged: Target, address: Address, opener: str, *, looked_up: bool) -> Iterator[str]:
        """Why ``address`` is refused; nothing if it is not. ``looked_up``: also by what only look-ups show.

        ``opener`` is what would open it.
        """
        if reason := why_never(address, on_lambda=self._on_lambda):
            yield f"{address} is {reason}; no setting allows it"
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            yield f"{address} has a zone, so it is not a public address"
        if self._denied.has_address(address):
            yield f"{address} is on the deny list of this service (BLOCKED_HOSTS)"
        forms = tuple(with_embedded_ipv4(address)) if looked_up else ()
        unshared = [form for form in forms if not any(form in network for network in self._shared_networks)]
        if self._denied.has_host_at(unshared):
            yield f"{address} is an address of a host on the deny list of this service (BLOCKED_HOSTS)"
        if self._is_allowed(address):
            return
        special = why_special(address)
        own = self._own.on_interfaces(forms) or self._own.of_public_url(unshared)
        if judged.private and (special or own):
            return
        if special:
            yield (
                f"{address} is {special}; urlsum connects to public addresses only"
                f" (on your own machine, {opener} allows others)"
            )
        if own:
            yield f"{address} is an address of urlsum itself ({opener} allows it)"
        if judged.port not in self._allowed_ports:
            yield self._about_port(judged.port)

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allowed_networks)

    def _spelled(self, host: str, *, private: bool = False) -> str:
        """``host`` as it is looked up.

        With the root's dot the resolver does not try it inside the domains of its search list (resolv.conf(5)), which
        are inside. Operators who open networks use such names.
        """
        return host if self._allowed_networks or private else f"{host}."

    def _about_port(self, port: int) -> str:
        return (
            f"port {port} is not allowed; {self._openers.ports} has {', '.join(map(str, sorted(self._allowed_ports)))}"
        )

    def _is_own(self, judged: Target) -> bool:
        if self._public_url is None or judged.host != self._public_url.host:
            return False
        # Operators who open networks run urlsum themselves, and keep files on other ports of the same machine.
        return not self._allowed_networks or judged.port == self._public_url.port


def _parsed(public_url: str | None) -> Target | None:
    if public_url is None:
        return None
    try:
        return parse(public_url)
    except InvalidUrl:
        # The settings check PUBLIC_URL themselves; a URL that does not parse cannot be submitted either.
        return None


def _is_local(host: str) -> bool:
    """Whether the name ``host`` means another machine in every network, or none."""
    labels = host.split(".")
    return len(labels) == 1 or any(".".join(labels[start:]) in LOCAL_SUFFIXES for start in range(len(labels)))


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
