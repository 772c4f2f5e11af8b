"""The table of addresses that are not on the public internet.

IPv4 follows the IANA IPv4 Special-Purpose Address Registry and the multicast registry. IPv6 allows only the global
unicast block that IANA has opened, 2000::/3, minus the special blocks in it. The standard library's ``is_private``
and ``is_global`` are not used: they differ between patch versions of Python and miss 100.64.0.0/10, 64:ff9b::/96 and
others.

https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
https://www.iana.org/assignments/ipv6-address-space
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = IPv4Address | IPv6Address
Table = dict[IPv4Network | IPv6Network, str]

# Registered as public, and yet inside: these clouds route them to their own services from within a customer's network,
# and nothing on the public internet has them.
INSIDE_CLOUDS_V4: Table = {
    # https://cloud.google.com/kubernetes-engine/docs/concepts/alias-ips#cluster_sizing_secondary_range_svcs
    IPv4Network("34.118.224.0/20"): "in the range of services of Google Kubernetes Engine",
    # https://cloud.google.com/vpc/docs/configure-private-google-access: private and restricted Google APIs, and their
    # direct connectivity.
    IPv4Network("34.126.0.0/18"): "in the range of Google APIs inside Google Cloud",
    IPv4Network("199.36.153.4/30"): "in the range of restricted.googleapis.com",
    IPv4Network("199.36.153.8/30"): "in the range of private.googleapis.com",
    # https://cloud.ibm.com/docs/vpc?topic=vpc-service-endpoints-for-vpc
    IPv4Network("161.26.0.0/16"): "in the range of IBM Cloud's infrastructure services",
    IPv4Network("166.8.0.0/14"): "in the range of IBM Cloud's service endpoints",
}
SPECIAL_V4: Table = {
    IPv4Network("0.0.0.0/8"): "an address of this host or network (RFC 791)",
    IPv4Network("10.0.0.0/8"): "in a private network (RFC 1918)",
    IPv4Network("100.64.0.0/10"): "behind carrier-grade NAT (RFC 6598)",
    IPv4Network("127.0.0.0/8"): "a loopback address (RFC 1122)",
    IPv4Network("169.254.0.0/16"): "a link-local address (RFC 3927)",
    IPv4Network("172.16.0.0/12"): "in a private network (RFC 1918)",
    IPv4Network("192.0.0.0/24"): "reserved for protocol assignments (RFC 6890)",
    IPv4Network("192.0.2.0/24"): "reserved for documentation (RFC 5737)",
    # The next two and 192.175.48.0/24 are anycast blocks that any network may answer by itself: inside, not out.
    IPv4Network("192.31.196.0/24"): "reserved for AS112 (RFC 7535)",
    IPv4Network("192.52.193.0/24"): "reserved for AMT (RFC 7450)",
    IPv4Network("192.88.99.0/24"): "reserved for 6to4 relays (RFC 7526)",
    IPv4Network("192.168.0.0/16"): "in a private network (RFC 1918)",
    IPv4Network("192.175.48.0/24"): "reserved for AS112 (RFC 7534)",
    IPv4Network("198.18.0.0/15"): "reserved for benchmarking (RFC 2544)",
    IPv4Network("198.51.100.0/24"): "reserved for documentation (RFC 5737)",
    IPv4Network("203.0.113.0/24"): "reserved for documentation (RFC 5737)",
    IPv4Network("224.0.0.0/4"): "a multicast address (RFC 5771)",
    IPv4Network("240.0.0.0/4"): "a reserved or broadcast address (RFC 1112)",
    **INSIDE_CLOUDS_V4,
}
GLOBAL_V6 = IPv6Network("2000::/3")
SPECIAL_V6: Table = {
    IPv6Network("2001::/23"): "reserved for protocol assignments, including Teredo (RFC 2928)",
    IPv6Network("2001:db8::/32"): "reserved for documentation (RFC 3849)",
    IPv6Network("2002::/16"): "a 6to4 address (RFC 3056)",
    IPv6Network("2620:4f:8000::/48"): "reserved for AS112 (RFC 7534)",
    IPv6Network("3fff::/20"): "reserved for documentation (RFC 9637)",
    # As in INSIDE_CLOUDS_V4, from the same page of Google.
    IPv6Network("2001:4860:8040::/42"): "in the range of Google APIs inside Google Cloud",
    IPv6Network("2600:2d00:2:1000::/56"): "in the range of restricted.googleapis.com",
    IPv6Network("2600:2d00:2:2000::/56"): "in the range of private.googleapis.com",
}
NAT64 = IPv6Network("64:ff9b::/96")
# For networks that choose their own NAT64 prefix, of any length that RFC 6052 allows (RFC 8215).
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
# Prefixes whose last 32 bits are, or may be, an IPv4 address: NAT64 (RFC 6052), IPv4-mapped and the deprecated
# IPv4-compatible (RFC 4291), IPv4-translated (RFC 7915 and its forerunner RFC 2765).
TRAILING_V4 = (NAT64, IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
# The first half of the interface identifiers of ISATAP.
ISATAP = 0x0000_5EFE
# RFC 6052, 2.2: the lengths of prefixes that may precede an IPv4 address.
PREFIX_LENGTHS = (32, 40, 48, 56, 64, 96)

# ALLOWED_NETWORKS never opens these: here clouds serve credentials to every client inside. Those of Azure and AWS stand
# in their documents; for the others see the data sources of cloud-init (Akamai, AliYun, Scaleway) and the SDKs of
# Oracle and Google.
NEVER: Table = {
    IPv4Network("169.254.0.0/16"): "a link-local address, where clouds serve metadata and credentials",
    IPv4Network("100.100.100.200/32"): "the metadata service of Alibaba Cloud",
    IPv4Network("168.63.129.16/32"): "the host agent of Azure",
    IPv4Network("192.0.0.192/32"): "the metadata service of Oracle Cloud",
    IPv6Network("fe80::/10"): "a link-local address",
    IPv6Network("fd00:ec2::/32"): "the metadata and credential services of AWS",
    IPv6Network("fd20:ce::254/128"): "the metadata service of Google Cloud",
    IPv6Network("fd00:a9fe:a9fe::1/128"): "the metadata service of Akamai (Linode)",
    IPv6Network("fd00:42::42/128"): "the metadata service of Scaleway",
    IPv6Network("fd00:c1::a9fe:a9fe/128"): "the metadata service of Oracle Cloud",
    IPv6Network("fd00:100::100:200/128"): "the metadata service of Alibaba Cloud",
}
# Loopback on Lambda is the runtime API, which hands out other callers' events; 0.0.0.0 and :: reach it too.
NEVER_ON_LAMBDA: Table = {
    IPv4Network("127.0.0.0/8"): "a loopback address, which is the runtime API on Lambda",
    IPv4Network("0.0.0.0/8"): "an address of this host or network",
    IPv6Network("::1/128"): "a loopback address, which is the runtime API on Lambda",
    IPv6Network("::/128"): "an address of this host or network",
}


def why_never(address: Address, *, on_lambda: bool) -> str | None:
    """Why no setting can open ``address``; None when a setting may.

    Every IPv4 address embedded in an IPv6 one counts, so that opening ``::/0`` opens no side door.
    """
    table = {**NEVER, **NEVER_ON_LAMBDA} if on_lambda else NEVER
    for form in with_embedded_ipv4(address):
        if reason := _look_up(form, table):
            return reason
    return None


def why_special(address: Address) -> str | None:
    """Why ``address`` is not a public unicast address; None when it is one.

    A NAT64 address is as public as the IPv4 address in it: on networks with DNS64 (RFC 6147) every IPv4-only
    origin has one.
    """
    if isinstance(address, IPv4Address):
        return _look_up(address, SPECIAL_V4)
    if address in NAT64:
        return _look_up(embedded_ipv4(address, 96), SPECIAL_V4)
    if address not in GLOBAL_V6:
        return "not a global unicast address (RFC 4291)"
    special, inner = _look_up(address, SPECIAL_V6), isatap_ipv4(address)
    return special if special or inner is None else _look_up(inner, SPECIAL_V4)


def _look_up(address: Address, table: Table) -> str | None:
    return next((reason for network, reason in table.items() if address in network), None)


def embedded_ipv4(address: IPv6Address, prefix_length: int) -> IPv4Address:
    """The IPv4 address after a NAT64 prefix of ``prefix_length`` bits; bits 64 to 71 are skipped (RFC 6052, 2.2).

    >>> embedded_ipv4(IPv6Address("2001:db8:122:344::192.0.2.33"), 96)
    IPv4Address('192.0.2.33')
    >>> embedded_ipv4(IPv6Address("2001:db8:122:c000:2:2100::"), 48)
    IPv4Address('192.0.2.33')
    """
    packed = address.packed if prefix_length == PREFIX_LENGTHS[-1] else address.packed[:8] + address.packed[9:]
    return IPv4Address(packed[prefix_length // 8 :][:4])


def isatap_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address in an interface identifier of ISATAP, under any prefix (RFC 5214, 6.1); None without one.

    Where such a tunnel exists, packets to the address leave for that IPv4 address.

    >>> isatap_ipv4(IPv6Address("2001:db8::200:5efe:192.0.2.33"))
    IPv4Address('192.0.2.33')
    """
    # The bits u and g of the identifier may be set.
    if int.from_bytes(address.packed[8:12], "big") & ~0x0300_0000 != ISATAP:
        return None
    return IPv4Address(address.packed[12:])


def with_embedded_ipv4(address: Address) -> Iterator[Address]:
    """``address``, and every IPv4 address that it may embed."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if any(address in network for network in TRAILING_V4):
        yield embedded_ipv4(address, 96)
    if address in LOCAL_NAT64:
        for length in PREFIX_LENGTHS[2:]:
            yield embedded_ipv4(address, length)
    if inner := isatap_ipv4(address):
        yield inner
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
