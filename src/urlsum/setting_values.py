"""Types of settings: networks, ports and hosts, in lists separated by commas; and the names that slips stand for."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

Network = IPv4Network | IPv6Network
HIGHEST_PORT = 65535
# The similarity (difflib) of a slip: one letter in seven, like DATABASE_URL for DATABASE_URI.
CLOSE = 0.86
_ORIGIN = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_HOST_OR_SUFFIX = re.compile(r"\.?([a-z0-9_-]+\.)*[0-9_-]*[a-z][a-z0-9_-]*")


class Networks(tuple[Network, ...]):
    """CIDRs, separated by commas."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Networks:
        """Raises ValueError."""
        return cls(map(_network, _items(text)))


class Ports(frozenset[int]):
    """Ports, separated by commas."""

    @classmethod
    def read(cls, text: str) -> Ports:
        """Raises ValueError."""
        with suppress(ValueError):
            ports = cls(int(item) for item in _items(text))
            if all(1 <= port <= HIGHEST_PORT for port in ports):
                return ports
        raise ValueError(f"expected whole numbers from 1 to {HIGHEST_PORT}, separated by commas")


class Hosts(tuple[Network | str, ...]):
    """Hosts, .suffixes and networks, separated by commas."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Hosts:
        """Raises ValueError."""
        return cls(_host_or_network(item) for item in _items(text))


class Origins(tuple[str, ...]):
    """Origins of web pages, ``scheme://host[:port]``, separated by commas (RFC 6454, 6.2)."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Origins:
        """Raises ValueError."""
        items = [item.lower() for item in _items(text)]
        if wrong := [item for item in items if not _ORIGIN.fullmatch(item)]:
            raise ValueError(f"{wrong[0]} is no origin, such as https://lab.example.org, without a path")
        return cls(items)


def corrections(names: Collection[str], settings: Collection[str]) -> list[str]:
    """A sentence for each of ``names`` that nearly is one of ``settings``.

    >>> corrections(["MAX_BYTE", "ALOWED_PORTS", "port", "HOME"], ["MAX_BYTES", "ALLOWED_PORTS", "PORT"])
    ['ALOWED_PORTS is no setting; did you mean ALLOWED_PORTS?', 'MAX_BYTE is no setting; did you mean MAX_BYTES?', \
'port is no setting; did you mean PORT?']
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only for people

    close = {name: get_close_matches(name.upper(), settings, 1, CLOSE) for name in sorted(names)}
    return [f"{name} is no setting; did you mean {found[0]}?" for name, found in close.items() if found]


def is_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address."""
    with suppress(ValueError):
        return bool(ip_address(text))
    return False


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _network(text: str) -> Network:
    with suppress(ValueError):
        return ip_network(text)
    try:
        network = ip_interface(text).network
    except ValueError:
        raise ValueError(
            f"{text!r} is not a network; write it like 10.0.0.0/8 or fd00::/8, or as one address"
        ) from None
    raise ValueError(f"{text!r} is an address in {network}; write the network, or the address alone")


def _host_or_network(text: str) -> Network | str:
    with suppress(ValueError):
        return ip_network(text)
    host = text.lower().removesuffix(".")
    # An entry that no host can match, like *.example.org or a URL, would deny nothing.
    if not _HOST_OR_SUFFIX.fullmatch(host):
        raise ValueError(
            f"{text!r} is neither a host (example.org), nor a .suffix (.example.org: it and its subdomains), nor"
            " a network (192.0.2.0/24); write international names in their xn-- form"
        )
    return host
