"""DNS look-ups within a bounded time, and the NAT64 prefixes that this network has chosen (RFC 6052, 2.2).

``prefix::10.0.0.1`` looks like a public address and leads inside. The address does not tell the prefix, but a
translating network does: it invents an IPv6 address for a name that has none (RFC 7050).
"""

from __future__ import annotations

import socket
import threading
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from urlsum.origin.guard.addresses import PREFIX_LENGTHS, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from urlsum.origin.guard.addresses import Address

    Resolver = Callable[[str], Sequence[str]]
    """Every address of a host name, best first, in numbers. Raises OSError."""


def system(host: str) -> list[str]:
    """What the operating system says: its hosts file, its DNS, its order (RFC 6724)."""
    # As bytes, because Python would send a str through its IDNA 2003 codec; the grammar has made it ASCII already.
    answers = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


def resolve(host: str, resolver: Resolver, *, within: float) -> list[Address]:
    """The addresses of ``host``. Raises OSError, and TimeoutError after ``within`` seconds.

    getaddrinfo takes no time-out and cannot be interrupted, so it runs in a thread of its own that is left behind
    when it hangs. The thread is a daemon, so it keeps no process alive, and it ends by itself: the C library
    gives up on a silent name server after some seconds per try.
    """
    outcome: list[list[Address] | Exception] = []

    def look_up() -> None:
        try:
            outcome.append([ip_address(text) for text in resolver(host)])
        except Exception as exc:  # noqa: BLE001 - carried over to the caller's thread and raised there
            outcome.append(exc)

    thread = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(within)
    if not outcome:
        raise TimeoutError(f"no answer within {within:.1f} s")
    found = outcome[0]
    if isinstance(found, Exception):
        raise found
    return found


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
                self._prefixes = prefixes(resolve(NAME, self._resolve, within=min(within, LOOK_UP_SECONDS)))
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
