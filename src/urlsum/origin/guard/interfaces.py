"""The addresses of this machine, as its network interfaces list them.

Not by their routes: a machine may route foreign addresses to itself. getifaddrs(3) is in every libc of Linux, macOS and
the BSDs, and its answer has the same shape in all of them.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.guard.addresses import Address

# struct sockaddr_in and sockaddr_in6 (netinet/in.h) begin with two bytes of family and two of port. The address comes
# next, for IPv6 after four bytes of flow. The BSDs, and so macOS, put a length into the first byte and the family into
# the second.
_IPV4 = slice(4, 8)
_IPV6 = slice(8, 24)
_LENGTH_FIRST = sys.platform == "darwin" or "bsd" in sys.platform


class _Entry(ctypes.Structure):
    """struct ifaddrs as far as it is read."""


_Entry._fields_ = [
    ("next", ctypes.POINTER(_Entry)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def interface_addresses() -> frozenset[Address]:
    """Every IPv4 and IPv6 address of the interfaces of this machine, or of its network namespace. Raises OSError."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        getifaddrs, freeifaddrs = libc.getifaddrs, libc.freeifaddrs
    except (AttributeError, TypeError):
        # Windows: there the machine's own name has them all.
        answers = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        return frozenset(ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers)
    first = ctypes.POINTER(_Entry)()
    if getifaddrs(ctypes.byref(first)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        return frozenset(_addresses(first))
    finally:
        freeifaddrs(first)


def _addresses(entry: ctypes._Pointer[_Entry]) -> Iterator[Address]:
    while entry:
        socket_address = entry.contents.address
        if socket_address:  # None for an interface without one, such as a tunnel
            head = ctypes.string_at(socket_address, 2)
            family = head[1] if _LENGTH_FIRST else int.from_bytes(head, sys.byteorder)
            if family == socket.AF_INET:
                yield IPv4Address(ctypes.string_at(socket_address, _IPV4.stop)[_IPV4])
            elif family == socket.AF_INET6:
                yield IPv6Address(ctypes.string_at(socket_address, _IPV6.stop)[_IPV6])
        entry = entry.contents.next
