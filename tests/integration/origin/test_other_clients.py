"""The same redirects as curl and browsers: 2,000 random pairs of a URL and a Location, and each difference explained.

curl and urlsum are judged by what they send to one origin; ada, the URL parser of Node.js, stands for browsers.
"""

from __future__ import annotations

import itertools
import random
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import ada_url
import pytest

from tests.integration.origin.conftest import UNHURRIED
from tests.support.origin.origin_server import KEEP, OriginServer, Request, Steps, head
from urlsum.deadline import Deadline
from urlsum.errors import BadRedirect
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 2000
SEED = 3986
BASE_HOST = "base.test"


@dataclass(frozen=True)
class Pair:
    """A URL that responds with a redirect, and the bytes of its Location."""

    base: str
    location: bytes

    @property
    def authority(self) -> bytes | None:
        """The host of the Location with all that clients take for a part of it."""
        found = re.match(rb"(?:http:)?//([^/?#]*)", self.location, re.IGNORECASE)
        return found[1] if found else None

    @property
    def path(self) -> bytes:
        """The Location before its query."""
        return re.split(rb"[?#]", self.location, maxsplit=1)[0]

    @property
    def query(self) -> bytes | None:
        """The query of the Location."""
        found = re.match(rb"[^?#]*\?([^#]*)", self.location)
        return found[1] if found else None


@dataclass(frozen=True)
class Sent:
    """The Host and the target of a request."""

    host: str
    path: str


# None: the client refuses.
Meaning = Sent | None


def pairs(seed: int = SEED) -> list[Pair]:
    """Random, and the same in every run. Parts that clients read differently are frequent."""
    choose = random.Random(seed)
    segments = ["a", "b.bin", "v1", "c;p=1", "s3:", "..", ".", "", "...", "%41%c3%a9"]
    odd = [
        *[b" ", b"a b", b"\xe9", "é".encode(), b"%2e%2E", b"%2e", b"|^", b"'", b"x:y", b"[1]", b"+", b"\\", b"\t", b"@"]
    ]
    queries = ["", "", "", "?", "?q", "?q=/../r", "?a?b", "?'"]
    raw_queries = [b"", b"", b"", b"?", b"?q", b"?q=/../r", b"?a b", b"?\xe9", b"?%20", b"?|^'", b"?\\"]
    fragments = [b"", b"", b"", b"#", b"#f", b"#f g", b"#/../f"]
    hosts = [
        *[b"o.test", b"O.Test", b"o.test.", b"o.test:80", b"o.test:", b"o.test:8080", b"o.test:08080", b"127.0.0.1"],
        *["bücher.test".encode(), b"b\xfccher.test", b"u@o.test", b"u:p@o.test", b"o test", b"%6f.test", b"127.1", b""],
        *[b"0x7f000001", b"o..test", b"o.test:99999", b"[::1]", b"[::1", b"o|.test", b"-o.test", b"o_.test"],
    ]

    def path(most: int) -> bytes:
        pieces = [
            choose.choice(odd) if choose.random() < 0.12 else choose.choice(segments).encode()
            for _ in range(choose.randrange(1, most))
        ]
        return b"/".join(pieces)

    def location() -> bytes:
        rest = choose.choice(raw_queries) + choose.choice(fragments)
        match choose.randrange(10):
            case 0:
                return rest
            case 1:
                return b"//" + choose.choice(hosts) + choose.choice([b"", b"/" + path(4)]) + rest
            case 2:
                scheme = choose.choice([b"http://", b"http://", b"HTTP://", b"http:", b"http:/", b"http:///", b"g:"])
                return scheme + choose.choice(hosts) + choose.choice([b"", b"/" + path(4)]) + rest
            case 3 | 4:
                return b"/" + path(6) + rest
            case 5:
                return b"../" * choose.randrange(1, 4) + path(3) + rest
            case _:
                return path(5) + rest

    def base() -> str:
        steps = "/".join(choose.choice(segments) for _ in range(choose.randrange(7)))
        return f"http://{BASE_HOST}/{steps}{choose.choice(queries)}"

    # Blanks around a field's value are no part of it (RFC 9110, 5.5).
    return [Pair(base(), location().strip(b" \t")) for _ in range(PAIRS)]


@dataclass
class Redirector:
    """The first request of a pair is redirected; ``sent`` keeps all requests by the pair's number."""

    pairs: list[Pair]
    current: int | None = None
    sent: dict[int, list[Sent]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Steps:
        number = int(request.fields["x-pair"]) if self.current is None else self.current
        requests = self.sent.setdefault(number, [])
        requests.append(canonical(Sent(request.fields["host"], request.path)))
        if len(requests) > 1:
            return [head("200 OK", "Content-Length: 0"), KEEP]
        location = self.pairs[number].location.decode("latin-1")
        return [head("302 Found", f"Location: {location}", "Content-Length: 0"), KEEP]


def canonical(sent: Sent) -> Sent:
    """One spelling for equal hosts (RFC 9110, 4.2.3) and equal paths (RFC 3986, 6.2.2.1).

    Some characters have no place in a path or query (RFC 3986, appendix A). curl sends them raw, browsers send a few
    of them raw, and urlsum encodes all.
    """
    host = re.sub(r"\.?(?::0*80)?:?$", "", sent.host.lower())
    path = re.sub(r'[ "<>\\^`{|}\x80-\xff]', lambda found: f"%{ord(found[0]):02X}", sent.path)
    return Sent(re.sub(":0+", ":", host), re.sub("%[0-9a-fA-F]{2}", lambda found: found[0].upper(), path))


def by_curl(given: list[Pair]) -> tuple[list[Sent], list[Meaning]]:
    """The requests of curl: first that of each pair, then that of its Location."""
    redirector = Redirector(given)
    with OriginServer(redirector) as origin:
        common = (
            f'location\nsilent\ngloboff\nnoproxy = "*"\nproto-redir = "=http"\nconnect-to = "::127.0.0.1:{origin.port}"'
        )
        options = [f'url = "{pair.base}"\nheader = "X-Pair: {n}"\n{common}' for n, pair in enumerate(given)]
        subprocess.run(["curl", "-q", "-K", "-"], input="\nnext\n".join(options).encode(), check=False, timeout=60)
    sent = [redirector.sent[number] for number in range(len(given))]
    return [requests[0] for requests in sent], [requests[1] if len(requests) > 1 else None for requests in sent]


def by_urlsum(given: list[Pair]) -> tuple[list[Sent], list[Meaning]]:
    """The requests of urlsum, likewise. Every address leads to the one origin."""
    redirector = Redirector(given, current=0)
    meanings: list[Meaning] = []
    with OriginServer(redirector) as origin:
        settings = parse({"allowed_networks": "127.0.0.0/8,::1/128", "connect_timeout": 5.0, "read_timeout": 5.0})

        def dial(address: object, port: int, seconds: float) -> socket.socket:
            return socket.create_connection(("127.0.0.1", origin.port), timeout=seconds)

        source = HttpSource(settings, Guard(settings, resolve=lambda host: ["127.0.0.1"], dial=dial), tuning=UNHURRIED)
        for number, pair in enumerate(given):
            redirector.current = number
            try:
                source.open(pair.base, deadline=Deadline.after(10)).close()
                meanings.append(redirector.sent[number][1])
            except BadRedirect as exc:
                # A circle is a URL, the one that was just requested.
                meanings.append(redirector.sent[number][0] if "redirect loop" in str(exc) else None)
    return [redirector.sent[number][0] for number in range(len(given))], meanings


def by_ada(pair: Pair) -> Meaning:
    """The request of a browser for the Location.

    Chromium percent-encodes the bytes of a Location that are not ASCII before it parses the URL (whatwg/fetch#883).
    """
    location = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in pair.location)
    try:
        url = ada_url.URL(location, ada_url.URL(pair.base).href)
    except ValueError:
        return None
    if url.protocol != "http:":
        return None
    rest = url.href.partition("#")[0].partition("//")[2]
    host, slash, path = rest.partition("/")
    return canonical(Sent(host.rpartition("@")[2], slash + path))


class Kind(Enum):
    """What a difference comes to."""

    REFUSED = auto()
    """urlsum refuses, so no other file is read."""
    SPELLED = auto()
    """The same request, spelled in another way."""
    CURL_FAULT = auto()
    """A fault of the curl of Debian 12 (7.88), most of them mended since. Browsers alone judge such a pair."""


CURL, BROWSERS = "curl", "browsers"


@dataclass(frozen=True)
class Difference:
    """Why these clients send something else for a pair that ``applies``; ``ours`` spells theirs as urlsum does."""

    clients: frozenset[str]
    kind: Kind
    reason: str
    applies: Callable[[Pair], object]
    ours: Callable[[Sent], Sent] = lambda sent: sent


def with_query(sent: Sent, spelled: Callable[[str], str]) -> Sent:
    path, mark, query = sent.path.partition("?")
    return Sent(sent.host, path + mark + spelled(query))


BOTH = frozenset({CURL, BROWSERS})
TABLE = [
    Difference(
        BOTH,
        Kind.REFUSED,
        "An empty Location is no redirect to curl and Chromium; a URL parser alone takes it for the base.",
        lambda pair: not pair.location,
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "An http URL with an empty host must be rejected (RFC 9110, 4.2.1); others take a segment of the path for it.",
        lambda pair: pair.authority == b"",
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "Without two slashes after http: browsers see a path below the base, and curl sees a host or nothing.",
        lambda pair: re.match(rb"http:(?!//)", pair.location, re.IGNORECASE),
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "Others send a user name as credentials; urlsum reads public files only.",
        lambda pair: b"@" in (pair.authority or b""),
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "Others make an address of every number, decode a host, or look up what is no host name (RFC 1123, 2.1).",
        lambda pair: re.search(rb"[%|;=+']|^-|\.\.|^\.|^127\.1$|^0x", pair.authority or b""),
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "A backslash before the query is a slash to browsers and a character to curl.",
        lambda pair: b"\\" in pair.path,
    ),
    Difference(
        BOTH,
        Kind.REFUSED,
        "Browsers drop a tab; curl refuses it.",
        lambda pair: b"\t" in pair.location,
    ),
    Difference(
        frozenset({BROWSERS}),
        Kind.SPELLED,
        "Browsers encode ' in a query; RFC 3986, 3.4 lets it stand.",
        lambda pair: b"'" in (pair.query or b"") or "?'" in pair.base,
        lambda sent: with_query(sent, lambda query: query.replace("%27", "'")),
    ),
    Difference(
        frozenset({CURL}),
        Kind.SPELLED,
        "curl writes + for a space in a query, which only forms take for one; urlsum writes %20 as browsers do.",
        lambda pair: b" " in (pair.query or b""),
        lambda sent: with_query(sent, lambda query: query.replace("+", "%20")),
    ),
    Difference(
        frozenset({CURL}),
        Kind.CURL_FAULT,
        "curl dropped an empty query (curl/curl#21584).",
        lambda pair: pair.query == b"",
    ),
    Difference(
        frozenset({CURL}),
        Kind.CURL_FAULT,
        "curl took a fragment alone for the folder (curl/curl#13394, curl/curl#15848).",
        lambda pair: pair.location.startswith(b"#"),
    ),
    Difference(
        frozenset({CURL}),
        Kind.CURL_FAULT,
        "curl took an encoded dot for a part of a name (curl/curl#16870).",
        lambda pair: b"%2e" in pair.path.lower(),
    ),
    Difference(
        frozenset({CURL}),
        Kind.CURL_FAULT,
        "curl joined two strings at one slash and lost an empty segment or a slash beside it.",
        lambda pair: (
            re.match(rb"(?:\.{1,2}/)+[/?]", pair.location)
            or (not re.match(rb"[a-z]+:|/", pair.location) and ada_url.URL(pair.base).pathname.startswith("//"))
        ),
    ),
    Difference(
        frozenset({CURL}),
        Kind.CURL_FAULT,
        "curl refused a space in the fragment of a URL with a host.",
        lambda pair: pair.authority is not None and re.search(rb"#.* ", pair.location),
    ),
]


def explained(client: str, pair: Pair, ours: Meaning, theirs: Meaning) -> list[Difference] | None:
    """The rows that make ``theirs`` of ``pair`` the same as ``ours``; None when the table does not."""
    if ours == theirs:
        return []
    used = []
    for row in (row for row in TABLE if client in row.clients and row.applies(pair)):
        if row.kind is Kind.CURL_FAULT or (row.kind is Kind.REFUSED and ours is None):
            return [row]
        if row.kind is Kind.SPELLED and theirs is not None:
            spelled = row.ours(theirs)
            used += [row] if spelled != theirs else []
            theirs = spelled
    return used if ours == theirs else None


@dataclass(frozen=True)
class Results:
    """The requests of each client: curl and urlsum first for the base, and all three for the Location."""

    pairs: list[Pair]
    urlsum: tuple[list[Sent], list[Meaning]]
    curl: tuple[list[Sent], list[Meaning]] | None
    browsers: list[Meaning]

    def of(self, client: str) -> list[Meaning]:
        """The requests of ``client`` for the Locations. Skips the test where curl is missing."""
        if client == BROWSERS:
            return self.browsers
        if self.curl is None:
            pytest.skip("curl is not on PATH")
        return self.curl[1]

    def explanations(self, client: str) -> list[list[Difference] | None]:
        compared = zip(self.pairs, self.urlsum[1], self.of(client), strict=True)
        return [explained(client, pair, ours, theirs) for pair, ours, theirs in compared]


@pytest.fixture(scope="module")
def results() -> Results:
    given = pairs()
    curl = by_curl(given) if shutil.which("curl") else None
    return Results(given, by_urlsum(given), curl, [by_ada(pair) for pair in given])


def test_a_submitted_url_is_requested_as_curl_does(results: Results) -> None:
    results.of(CURL)
    assert results.curl is not None
    assert results.urlsum[0] == results.curl[0]


@pytest.mark.parametrize("client", [CURL, BROWSERS])
def test_every_difference_is_explained(results: Results, client: str) -> None:
    rows = zip(results.pairs, results.urlsum[1], results.of(client), results.explanations(client), strict=True)
    assert [(pair, ours, theirs) for pair, ours, theirs, why in rows if why is None] == []


@pytest.mark.parametrize("client", [CURL, BROWSERS])
def test_most_pairs_need_no_explanation(results: Results, client: str) -> None:
    theirs = results.of(client)
    same = [ours for ours, their in zip(results.urlsum[1], theirs, strict=True) if ours == their]
    # Nearly three quarters are the same with curl 7.88, and more with browsers; one in ten of these is refused by both.
    assert len(same) > PAIRS * 0.7
    assert sum(ours is not None for ours in same) > PAIRS / 2


def test_every_row_of_the_table_is_needed(results: Results) -> None:
    rows = itertools.chain(results.explanations(CURL), results.explanations(BROWSERS))
    needed = {row.reason for row in itertools.chain.from_iterable(filter(None, rows))}
    # A later curl has mended its faults.
    assert {row.reason for row in TABLE if row.kind is not Kind.CURL_FAULT} <= needed
