"""DNS lookups within a bounded time. ``Guard.connect`` judges the result of each, against DNS rebinding."""

from __future__ import annotations

import socket
import threading
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.origin.guard.addresses import Address

    Resolver = Callable[[str], Sequence[str]]
    """Returns every IP address of a host name as text, best first. Raises OSError."""

# What getaddrinfo() says of NXDOMAIN and of NODATA; all else is a failure to find out. Not every system has the second.
_ABSENT = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def system_resolver(host: str, family: int = socket.AF_UNSPEC) -> list[str]:
    """The addresses from the operating system: its hosts file, its DNS, its order (RFC 6724). Raises OSError."""
    # As bytes, because Python would encode a str with its IDNA 2003 codec; the URL parser has made it ASCII already.
    answers = socket.getaddrinfo(host.encode("ascii"), None, family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


def by_family(resolver: Resolver) -> tuple[Resolver, ...]:
    """Resolvers that together find what ``resolver`` does; the last one finds all IPv6 addresses.

    When one of the two queries for a name fails, getaddrinfo() returns the answer to the other as if it were all.
    """
    if resolver is system_resolver:
        return partial(system_resolver, family=socket.AF_INET), partial(system_resolver, family=socket.AF_INET6)
    return (resolver,)


def is_absent(error: Exception) -> bool:
    """Whether ``error`` of a resolver says that the name, or its address, does not exist (NXDOMAIN, NODATA)."""
    return isinstance(error, socket.gaierror) and error.errno in _ABSENT


def resolve(host: str, resolver: Resolver, *, within: float) -> list[Address]:
    """The addresses of ``host``. Raises OSError, ValueError, and TimeoutError after ``within`` seconds.

    getaddrinfo takes no time-out and cannot be interrupted, so it runs in its own thread, which is abandoned when it
    hangs. The thread is a daemon, so it keeps no process alive, and it ends by itself: the C library gives up on a
    silent name server after some seconds per try.
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
    result = outcome[0]
    if isinstance(result, Exception):
        raise result
    return result
