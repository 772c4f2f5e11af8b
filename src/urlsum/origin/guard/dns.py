"""DNS lookups within a bounded time. ``Guard.connect`` judges the result of each, against DNS rebinding."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.origin.guard.addresses import Address

    Resolver = Callable[[str], Sequence[str]]
    """Returns every IP address of a host name as text, best first. Raises OSError."""


def system_resolver(host: str) -> list[str]:
    """The addresses from the operating system: its hosts file, its DNS, its order (RFC 6724). Raises OSError."""
    # As bytes, because Python would encode a str with its IDNA 2003 codec; the URL parser has made it ASCII already.
    answers = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


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
