"""The vectors: how an address is spelled, which range it is in, and the way by which it is to be reached.

``expected`` is ``reached`` for the controls, ``invalid`` for what breaks the grammar, else the failure code.
``reached`` are the endpoints where a canary may take a connection, all of them public or opened on purpose;
``hops`` is how many connections it takes there, where it is not one; -1 for several;
``asked`` is how often at least the name server must have been asked for its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.integration.guard import spellings
from tests.support.origin.addresses import EVERYTHING, FORBIDDEN_V4, FORBIDDEN_V6, NEVER, PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin.namespace import Endpoint

PUBLIC_V4 = "8.8.8.8"
PUBLIC_V6 = "2606:4700::1111"
# What the network of these tests translates by, which its name server tells as RFC 7050 says.
NAT64_PREFIX = "2a00:64::"
NAT64_ANSWERS = ["192.0.0.170", "192.0.0.171", f"{NAT64_PREFIX}192.0.0.170", f"{NAT64_PREFIX}192.0.0.171"]
NAT64_INSIDE = [f"{NAT64_PREFIX}{inner}" for inner in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "172.17.0.1")]
# Hosts without names: what each leads to while nobody knows whether the network has a prefix.
WITHOUT_PREFIX = {
    "inside": f"[{NAT64_PREFIX}10.0.0.1]",
    "public": f"[{PUBLIC_V6}]",
    "both families": "both.example.org",
}
FORBIDDEN = [*FORBIDDEN_V4, *FORBIDDEN_V6]
# The interface's own addresses, and the domain of the resolver's search list.
OWN_V4, OWN_V6 = "9.9.9.20", "2606:4700::20"
OWN = [f"{OWN_V4}/32", f"{OWN_V6}/128"]
SEARCH = "corp.test"
# In these domains only those names exist that a vector has.
MISSING = [SEARCH, "web"]
HOSTS_FILE = "127.0.0.1 localhost\n10.9.9.9 hosts-file.example.org\n"
PORTS = [80, 443, 8080, 8443, 21, 22, 25, 2000, 2375, 3306, 5000, 6379, 8000, 9000, 9001]
TLS_PORTS = [443, 8443]


@dataclass(frozen=True)
class Vector:
    """One try. ``names`` are the answers of the name server, look-up by look-up; ``slices`` is how often to go on."""

    id: str
    url: str
    expected: str
    reached: frozenset[Endpoint] = frozenset()
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    slices: int = 1
    hops: int | None = None
    asked: int = 0

    @property
    def connections(self) -> int:
        """How many connections the canaries must take: a way in that was not gone would prove nothing."""
        return bool(self.reached) if self.hops is None else self.hops


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def at(*addresses: str, port: int = 80) -> frozenset[Endpoint]:
    return frozenset((address, port) for address in addresses)


def redirecting(location: str, host: str = PUBLIC_V4) -> str:
    """The URL of a page at a public origin that redirects to ``location``."""
    return f"http://{host}/to?{quote(location, safe='')}"


def through_every_way(number: int, address: str) -> Iterator[Vector]:
    """One forbidden address by every way in."""
    name = f"n{number}.example.org"
    host = literal(address)
    start = at(PUBLIC_V4)

    def vector(
        way: str,
        url: str,
        *steps: list[str],
        reached: frozenset[Endpoint] = start,
        slices: int = 1,
        hops: int | None = None,
    ) -> Vector:
        own = f"{way}-{name}"
        answers = {own: list(steps)}
        return Vector(f"{way} {address}", url.replace(name, own), "blocked", reached, answers, slices=slices, hops=hops)

    yield vector("literal", f"http://{host}/file", reached=at())
    yield vector("tls", f"https://{host}/file", reached=at())
    yield vector("name", f"http://{name}/file", [address], reached=at())
    yield vector("mixed", f"http://{name}/file", [PUBLIC_V4, PUBLIC_V6, address], reached=at())
    yield vector("redirect", redirecting(f"http://{host}/file"))
    yield vector("redirect-name", redirecting(f"https://{name}/file"), [address])
    yield vector("rebinding", redirecting(f"http://{name}/file", name), [PUBLIC_V4], [address])
    yield vector("second-slice", f"http://{name}/cut", [PUBLIC_V4], [address], slices=2)
    yield vector("reconnect", f"http://{name}/no-ranges", [PUBLIC_V4], [PUBLIC_V4], [address], slices=2, hops=2)


def spelled() -> Iterator[Vector]:
    for ours, texts in (("invalid", spellings.INVALID), ("blocked", spellings.BLOCKED)):
        for text in texts:
            url = f"http://{text}/file"
            yield Vector(f"spelled {text!a}", url, ours)
            theirs = spellings.REDIRECT_ENDS.get(text, "redirects" if ours == "invalid" else "blocked")
            yield Vector(f"spelled in a redirect {text!a}", redirecting(url), theirs, at(PUBLIC_V4))
    for url in spellings.INVALID_URLS:
        yield Vector(f"url {url!a}", url, "invalid")
    for location in spellings.INVALID_LOCATIONS:
        yield Vector(f"location {location!a}", redirecting(location), "redirects", at(PUBLIC_V4))
    yield Vector("location //", redirecting("//127.0.0.1/file"), "blocked", at(PUBLIC_V4))
    # An http URL with an empty host must be rejected (RFC 9110, 4.2.1); browsers and curl would connect to 127.0.0.1.
    yield Vector("location ///", redirecting("///127.0.0.1/file"), "redirects", at(PUBLIC_V4))


def ports() -> Iterator[Vector]:
    for port in PORTS:
        if port in (80, 443, 8080, 8443):
            continue
        for host in (PUBLIC_V4, literal(PUBLIC_V6), "ports.example.org"):
            names = {"ports.example.org": [[PUBLIC_V4]]}
            yield Vector(f"port {port} of {host}", f"http://{host}:{port}/file", "blocked", names=names)
        yield Vector(f"port {port} by redirect", redirecting(f"http://{PUBLIC_V4}:{port}/"), "blocked", at(PUBLIC_V4))


def names() -> Iterator[Vector]:
    for number, target in enumerate(["localhost", "metadata.google.internal", "redis", "inside.example.org"]):
        alias = f"alias{number}.example.org"
        inside = {target: [["169.254.169.254"]], "inside.example.org": [["10.0.0.1"]]}
        yield Vector(f"alias of {target}", f"http://{alias}/file", "blocked", names=inside, aliases={alias: target})
    for length in (2, 3, 5):
        name = f"flux{length}.example.org"
        steps = [[PUBLIC_V4]] * length + [["10.0.0.1"]]
        url = f"http://{name}/hop?{length}"
        yield Vector(f"rebinding after {length} redirects", url, "blocked", at(PUBLIC_V4), {name: steps}, hops=length)
    for number, address in enumerate(
        ["127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00:ec2::254", "64:ff9b::10.0.0.1"]
    ):
        # Further connections are refused: those for parts of the file, and the one of the closing proof.
        name = f"parts{number}.example.org"
        known = {name: [[PUBLIC_V4], [address]]}
        yield Vector(f"parts {address}", f"http://{name}/long", "blocked", at(PUBLIC_V4), known, asked=2)
    yield Vector("no address", "http://empty.example.org/file", "dns", names={"empty.example.org": [[]]})


def opened() -> Iterator[Vector]:
    """What ALLOWED_NETWORKS opens, and what it does not."""
    one = {"allowed_networks": "172.18.0.0/16"}
    compose = {"files": [["172.18.0.3"]], "redis": [["172.19.0.3"]], "both": [["172.18.0.3", "127.0.0.1"]]}
    for host, address in (("files", "172.18.0.3"), ("172.18.0.1", "172.18.0.1")):
        reached = at(address, port=9000)
        yield Vector(f"opened {host}", f"http://{host}:9000/file", "reached", reached, compose, settings=one)
    for host in ("redis", "both", "172.17.0.1", "127.0.0.1", "[::ffff:172.18.0.3]", "[64:ff9b::172.18.0.3]"):
        yield Vector(f"beside what is opened {host}", f"http://{host}:9000/", "blocked", names=compose, settings=one)
    everything = {"allowed_networks": EVERYTHING}
    local = at("127.0.0.1", port=9001)
    yield Vector("everything opened", "http://127.0.0.1:9001/file", "reached", local, settings=everything)
    for number, address in enumerate([*NEVER, f"{NAT64_PREFIX}169.254.169.254"]):
        name = f"never{number}.example.org"
        direct = f"http://{literal(address)}/file"
        for way, url, steps, reached, slices in (
            ("literal", direct, [], at(), 1),
            ("name", f"http://name-{name}/file", [[address]], at(), 1),
            ("redirect", redirecting(direct, "10.0.0.1"), [], at("10.0.0.1"), 1),
            ("slice", f"http://slice-{name}/cut", [["10.0.0.1"], [address]], at("10.0.0.1"), 2),
        ):
            known = {f"{way}-{name}": steps}
            title = f"everything opened, {way} {address}"
            yield Vector(title, url, "blocked", reached, known, settings=everything, slices=slices)


# The runtime API and the X-Ray daemon, under every name and address that leads to them.
LAMBDA_HOSTS = [
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    f"[{NAT64_PREFIX}127.0.0.1]",
    "169.254.100.1",
    "169.254.79.129",
    "169.254.170.2",
    "localhost",
    "runtime.example.org",
]


def on_lambda() -> Iterator[Vector]:
    """What stays closed on Lambda although everything is opened."""
    settings = {"allowed_networks": EVERYTHING, "aws_lambda_function_name": "hash-worker"}
    known = {"runtime.example.org": [["127.0.0.1"]]}
    for host in LAMBDA_HOSTS:
        for port in (9001, 2000):
            url = f"http://{host}:{port}/2018-06-01/runtime/invocation/next"
            yield Vector(f"on Lambda {host} {port}", url, "blocked", names=known, settings=settings)
            title = f"on Lambda by redirect {host} {port}"
            yield Vector(title, redirecting(url), "blocked", at(PUBLIC_V4), known, settings=settings)
    yield Vector("on Lambda, opened", "http://10.0.0.1/file", "reached", at("10.0.0.1"), settings=settings)


def denied() -> Iterator[Vector]:
    """What the operator denies."""
    known = {
        "denied.example": [["9.9.9.1"]],
        "a.denied.example": [["9.9.9.2"]],
        "denied.example.org": [["9.9.9.3", "2606:4700::3"]],
        "four.example.org": [[PUBLIC_V4, "8.8.4.4"]],
        # Other names of the addresses that denied hosts have.
        "alias1.example.net": [["9.9.9.1"]],
        "alias3.example.net": [[PUBLIC_V4, "9.9.9.3"]],
        "alias3-v6.example.net": [["2606:4700::3"]],
    }
    settings = {"blocked_hosts": ".denied.example,denied.example.org,8.8.4.0/24,2001:4860::/32"}
    addresses = ["8.8.4.4", "[64:ff9b::8.8.4.4]", f"[{NAT64_PREFIX}8.8.4.4]", "[2001:4860::1]"]
    of_hosts = ["9.9.9.1", "9.9.9.3", "[2606:4700::3]", "[64:ff9b::9.9.9.3]", f"[{NAT64_PREFIX}9.9.9.3]"]
    for host in (*known, *addresses, *of_hosts):
        url = f"http://{host}/file"
        yield Vector(f"denied {host}", url, "blocked", names=known, settings=settings)
        title = f"denied by redirect {host}"
        yield Vector(title, redirecting(url), "blocked", at(PUBLIC_V4), known, settings=settings)
    settings = {**settings, "shared_networks": "9.9.9.0/24"}
    yield Vector("denied where shared", "http://denied.example.org/file", "blocked", names=known, settings=settings)
    yield Vector("shared", "http://alias1.example.net/file", "reached", at("9.9.9.1"), known, settings=settings)


def own() -> Iterator[Vector]:
    """The own addresses: those of the interface, and those of PUBLIC_URL's host."""
    known = {
        "urlsum.example.org": [["9.9.9.10", "2606:4700::10"]],
        "own-alias.example.org": [["9.9.9.10"]],
        "own-alias6.example.org": [["2606:4700::10"]],
        "own-mixed.example.org": [[PUBLIC_V4, "9.9.9.10"]],
        "own-here.example.org": [[OWN_V4]],
        "own-here6.example.org": [[PUBLIC_V6, OWN_V6]],
    }
    settings = {"public_url": "https://urlsum.example.org/app"}
    by_ip = ["9.9.9.10", "[2606:4700::10]", "[64:ff9b::9.9.9.10]", f"[{NAT64_PREFIX}9.9.9.10]", "9.9.9.10:8080"]
    here = [OWN_V4, f"[{OWN_V6}]", f"[64:ff9b::{OWN_V4}]", f"{OWN_V4}:8080"]
    for host in (*known, *by_ip, *here):
        url = f"http://{host}/file"
        yield Vector(f"own address {host}", url, "blocked", names=known, settings=settings)
        title = f"own address by redirect {host}"
        yield Vector(title, redirecting(url), "blocked", at(PUBLIC_V4), known, settings=settings)
    on_lambda = {**settings, "aws_lambda_function_name": "hash-worker"}
    for host in ("own-alias.example.org", "own-here.example.org"):
        yield Vector(f"own address on Lambda {host}", f"http://{host}/file", "blocked", names=known, settings=on_lambda)
    literal_url = {"public_url": "http://9.9.9.11:8080"}
    yield Vector("own address in PUBLIC_URL", "http://9.9.9.11/file", "blocked", settings=literal_url)
    alias = {"own-alias11.example.org": [["9.9.9.11"]]}
    url = "http://own-alias11.example.org/file"
    yield Vector("own alias of an address in PUBLIC_URL", url, "blocked", names=alias, settings=literal_url)
    one = {**settings, "allowed_networks": f"9.9.9.10/32,{OWN_V4}/32"}
    for host, address in (("9.9.9.10", "9.9.9.10"), ("own-here.example.org", OWN_V4)):
        url = f"http://{host}:9000/file"
        yield Vector(f"own address opened {host}", url, "reached", at(address, port=9000), known, settings=one)
    shared = {**settings, "shared_networks": "9.9.9.0/24"}
    reached = at("9.9.9.10")
    yield Vector("own address shared", "http://own-alias.example.org/file", "reached", reached, known, settings=shared)
    yield Vector("own name shared", "http://urlsum.example.org/file", "blocked", names=known, settings=shared)
    yield Vector("own interface shared", f"http://{OWN_V4}/file", "blocked", settings=shared)


def search_list() -> Iterator[Vector]:
    """Names that exist only inside the domain of the search list."""
    known = {f"admin.web.{SEARCH}": [[PUBLIC_V4]], f"shelf.{SEARCH}": [["172.18.0.9"]]}
    for host in ("admin.web", "admin.web."):
        yield Vector(f"search list {host}", f"http://{host}/file", "dns", names=known)
        yield Vector(f"search list by redirect {host}", redirecting(f"http://{host}/"), "dns", at(PUBLIC_V4), known)
    opened, reached = {"allowed_networks": "172.18.0.0/16"}, at("172.18.0.9", port=9000)
    yield Vector("search list, opened", "http://shelf:9000/file", "reached", reached, known, settings=opened)


def controls() -> Iterator[Vector]:
    """What must be reached; without these a guard that refuses everything would pass."""
    for number, address in enumerate([*PUBLIC, f"{NAT64_PREFIX}8.8.8.8"]):
        name = f"public{number}.example.org"
        yield Vector(f"public {address}", f"http://{literal(address)}/file", "reached", at(address))
        yield Vector(f"public name {address}", f"http://{name}/file", "reached", at(address), {name: [[address]]})
    known = {
        "both.example.org": [[PUBLIC_V4, PUBLIC_V6]],
        "moves.example.org": [[PUBLIC_V4], ["1.1.1.1"]],
        "slow.example.org": [[PUBLIC_V6], [PUBLIC_V4]],
        "xn--mnchen-3ya.de": [[PUBLIC_V4]],
    }
    for port in (80, 8080):
        yield Vector(f"public port {port}", f"http://{PUBLIC_V4}:{port}/file", "reached", at(PUBLIC_V4, port=port))
    for port in TLS_PORTS:
        url = f"https://both.example.org:{port}/file"
        yield Vector(f"public port {port}", url, "reached", at(PUBLIC_V4, PUBLIC_V6, port=port), known)
    url = "http://both.example.org/file"
    yield Vector("two families", url, "reached", at(PUBLIC_V4, PUBLIC_V6), known)
    yield Vector("trailing dot", "http://both.example.org./file", "reached", at(PUBLIC_V4, PUBLIC_V6), known)
    yield Vector("international", "http://münchen.de/file", "reached", at(PUBLIC_V4), known)
    alias = {"www.example.org": "both.example.org"}
    yield Vector("public alias", "http://www.example.org/file", "reached", at(PUBLIC_V4, PUBLIC_V6), known, alias)
    url = redirecting("http://moves.example.org/file", "moves.example.org")
    yield Vector("a name that moves", url, "reached", at(PUBLIC_V4, "1.1.1.1"), known, hops=2)
    known["parts.example.org"] = [[PUBLIC_V4]]
    yield Vector("parts", "http://parts.example.org/long", "reached", at(PUBLIC_V4), known, hops=-1)
    url = redirecting("https://both.example.org/file")
    reached = at(PUBLIC_V4) | at(PUBLIC_V4, PUBLIC_V6, port=443)
    yield Vector("redirect into TLS", url, "reached", reached, known, hops=2)
    url, reached = "http://slow.example.org/cut", at(PUBLIC_V4, PUBLIC_V6)
    yield Vector("second slice", url, "reached", reached, known, slices=2, hops=2)
    url = f"http://{PUBLIC_V4}/no-ranges"
    yield Vector("reconnect", url, "reached", at(PUBLIC_V4), slices=2, hops=3)


def every() -> list[Vector]:
    """All of them, each with an id of its own."""
    made = [
        *chain.from_iterable(through_every_way(*numbered) for numbered in enumerate([*FORBIDDEN, *NAT64_INSIDE])),
        *spelled(),
        *ports(),
        *names(),
        *opened(),
        *on_lambda(),
        *denied(),
        *own(),
        *search_list(),
        *controls(),
    ]
    assert len({vector.id for vector in made}) == len(made)
    return made
