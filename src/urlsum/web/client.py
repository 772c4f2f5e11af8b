"""Who sends a request: the client that limits count, the network that emails name, and the API key.

Only the nearest machine is known for sure. A proxy in between says whom it forwards for, and so can anybody else, so
its word counts only if its own address is one of ``TRUSTED_PROXIES``.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from urlsum.errors import InvalidRequest, KeyRefused
from urlsum.limits.quota import KEY_PREFIX

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from starlette.requests import Request

    from urlsum.setting_values import Networks
    from urlsum.settings import Settings

    Address = IPv4Address | IPv6Address

log = logging.getLogger(__name__)

# A provider gives one customer an IPv4 address, or at least an IPv6 /64 (RFC 6177), all of whose addresses are its own.
CLIENT_BITS_V6 = 64
# What an email names: enough to recognize one's own provider, too little to find one person.
NETWORK_BITS = {4: 24, 6: 48}
# All clients whose address nobody knows share one account.
UNKNOWN = "unknown"

# RFC 7239, 4: name=value pairs, separated by semicolons, in elements that are separated by commas. RFC 9110, 5.6.4:
# inside of quotes both are ordinary characters.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the token of RFC 9110
_PAIR = re.compile(rf'\s*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")\s*(;|,|\Z)')
# RFC 7239, 6, and what proxies write into X-Forwarded-For: an address, perhaps with a port; IPv6 in brackets or bare.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]+)?|([0-9A-Fa-f:.]+)")
# RFC 6750, 2.1.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_BEARER = re.compile(r"bearer(?: +(.*))?", re.IGNORECASE)


class Client(Struct, frozen=True):
    """``subject`` is what limits count, None for a client without limits; ``address`` is for the log."""

    subject: str | None
    address: str
    network: str | None
    key: str | None = None


def client_of(request: Request, settings: Settings) -> Client:
    """The client that sends a request, by its address."""
    address, forwarded = _address(request, settings.trusted_proxies)
    text = UNKNOWN if address is None else str(address)
    network = None if address is None else str(ip_network((address, NETWORK_BITS[address.version]), strict=False))
    if address is not None and address.is_loopback and not forwarded and not _published(settings):
        return Client(None, text, network)
    if isinstance(address, IPv6Address):
        return Client(str(ip_network((address, CLIENT_BITS_V6), strict=False)), text, network)
    return Client(text, text, network)


def with_key(client: Client, request: Request, settings: Settings, *, field: str | None = None) -> Client:
    """``client`` as the holder of its API key, from the header or the ``field`` of a form, if it has one.

    Raises KeyRefused for an unknown key, and for none where one is required; InvalidRequest for a malformed field.
    """
    name = _key_name(_token(request, field), settings)
    return client if name is None else replace(client, subject=KEY_PREFIX + name, key=name)


def _published(settings: Settings) -> bool:
    """Whether other machines reach the service, so that a proxy on this one may pass requests on without a word."""
    host = urlsplit(settings.public_url or "").hostname
    return host is not None and not (host == "localhost" or host.startswith("127.") or host == "::1")


def _address(request: Request, trusted: Networks) -> tuple[Address | None, bool]:
    """The address of the client, and whether somebody else forwarded the request."""
    event = request.scope.get("aws.event")
    if event is not None:
        # API Gateway saw the connection. Headers that look alike come from the client.
        return _parsed(event["requestContext"]["http"]["sourceIp"]), True
    peer = _parsed(request.client.host) if request.client else None
    chains = [chain for chain in (_x_forwarded_for(request), _forwarded(request)) if chain is not None]
    if peer is None or not _is_trusted(peer, trusted):
        if chains and peer is not None and peer.is_loopback:
            _warn(peer)
        return peer, bool(chains)
    found = [_beyond(peer, chain, trusted) for chain in chains]
    # A proxy that writes one of the two fields may pass the client's own version of the other one on. Then neither can
    # be told from the other, and the proxy itself answers for the client.
    if not found or any(address != found[0] for address in found):
        return peer, True
    return found[0], True


@cache
def _warn(peer: Address) -> None:
    log.warning("%s forwards requests, but is not in TRUSTED_PROXIES: its clients share one limit", peer)


def _beyond(peer: Address, chain: list[str], trusted: Networks) -> Address:
    """The nearest machine in ``chain`` that is no trusted proxy: each proxy appends the address that it saw."""
    for node in reversed(chain):
        address = _node(node)
        if address is None:  # hidden (RFC 7239, 6.3) or not an address: the proxy that wrote it is the last one known
            return peer
        if not _is_trusted(address, trusted):
            return address
        peer = address
    return peer


def _is_trusted(address: Address, trusted: Networks) -> bool:
    return any(address in network for network in trusted)


def _x_forwarded_for(request: Request) -> list[str] | None:
    values = request.headers.getlist("X-Forwarded-For")
    return [node.strip() for node in ",".join(values).split(",")] if values else None


def _forwarded(request: Request) -> list[str] | None:
    """The ``for`` of each element of Forwarded (RFC 7239), empty where there is none or the field is malformed."""
    values = request.headers.getlist("Forwarded")
    if not values:
        return None
    text, nodes, at = ",".join(values), [""], 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return [""]
        if pair[1].lower() == "for":
            nodes[-1] = pair[2] or re.sub(r"\\(.)", r"\1", pair[3] or "")
        if pair[4] == ",":
            nodes.append("")
        at = pair.end()
    return nodes


def _node(text: str) -> Address | None:
    match = _NODE.fullmatch(text)
    return _parsed(next(filter(None, match.groups()))) if match else None


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows an IPv4 client so (RFC 4291, 2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _token(request: Request, field: str | None) -> str | None:
    """The API key of the request, as sent; an empty text for one that is malformed."""
    # Another scheme is for a proxy in front.
    sent = [match[1] for value in request.headers.getlist("Authorization") if (match := _BEARER.fullmatch(value))]
    if field:
        if sent:
            raise KeyRefused("Send the API key once: in the header Authorization, or in the field key.", unknown=True)
        if not _KEY.fullmatch(field):
            raise InvalidRequest("key", "An API key has letters, digits and any of . _ ~ + / - only.")
        return field
    if not sent:
        return None
    return sent[0] if len(sent) == 1 and _KEY.fullmatch(sent[0] or "") else ""


def _key_name(token: str | None, settings: Settings) -> str | None:
    """The name of the key. Where there are no keys, none is needed, and one that is sent is for somebody else."""
    if not settings.api_keys:
        return None
    if token is None:
        if settings.require_api_key:
            raise KeyRefused(
                "This service needs an API key. Send it as Authorization: Bearer …, or in the field key.",
                unknown=False,
            )
        return None
    key = settings.api_keys.find(token)
    if key is None:
        raise KeyRefused("This API key is unknown. It may be mistyped, or it was revoked.", unknown=True)
    return key.name
