"""Names to addresses, within a bounded time."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.origin.addresses import Address

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
