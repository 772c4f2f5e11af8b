"""Runs inside the namespace: every vector through the unmodified ``HttpSource.open``; prints what happened as JSON.

``python -m tests.integration.guard.inside DIRECTORY``, under ``unshare --net --mount``.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import time
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

import trustme

from tests.integration.guard import vectors
from tests.integration.guard.vectors import Vector
from tests.support.origin.namespace import Canary, NameServer, enter
from tests.support.origin.origin_server import File, Request, Steps, head
from urlsum.deadline import Deadline
from urlsum.errors import Incomplete, InvalidUrl, OriginError
from urlsum.origin.guard.guard import Guard
from urlsum.origin.source import HttpSource
from urlsum.settings import parse
from urlsum.task import Checkpoint

CONTENT = bytes(range(256)) * 512
# Enough for further connections to be wanted while the first one brings it.
LONG = bytes(range(256)) * 128 * 1024
RATE = 24 * 2**20
BLOCK = 64
NAT64_NAME = "ipv4only.arpa"


def script(request: Request) -> Steps:
    """What the public origins, and everybody else, serve."""
    path, _, query = request.path.partition("?")
    whole = File(LONG, rate=RATE)(request) if path == "/long" else File(CONTENT)(request)
    ranged = "range" in request.fields
    if path in ("/file", "/long") or (path == "/cut" and ranged) or (path == "/no-ranges" and not ranged):
        return whole
    if path == "/cut":
        return [whole[0], CONTENT[: len(CONTENT) // 2]]
    if path == "/no-ranges":
        return [head("416 Range Not Satisfiable", "Content-Length: 0")]
    if path == "/to":
        return [head("302 Found", f"Location: {unquote(query).encode().decode('latin-1')}", "Content-Length: 0")]
    if path == "/hop":
        following = "/file" if query == "0" else f"/hop?{int(query) - 1}"
        return [head("302 Found", f"Location: {following}", "Content-Length: 0")]
    return [head("404 Not Found", "Content-Length: 0")]


@cache
def origin(given: tuple[tuple[str, str], ...], ca_file: Path) -> HttpSource:
    settings = parse({"ssl_cert_file": ca_file, "connect_timeout": 5, "read_timeout": 5, **dict(given)})
    return HttpSource(settings, Guard(settings))


def attempt(vector: Vector, ca_file: Path) -> str:
    """How the vector ends: ``reached`` with the right bytes, ``invalid``, or a failure code."""
    source = origin(tuple(vector.settings.items()), ca_file)
    received, at = bytearray(), None
    try:
        for number in range(vector.slices):
            with source.open(vector.url, deadline=Deadline.after(10), resume=at) as body:
                del received[body.offset :]
                last = number == vector.slices - 1
                with suppress(Incomplete):
                    while piece := body.read():
                        received += piece
                        if not last and len(received) >= len(CONTENT) // 2:
                            break
                at = Checkpoint(len(received) // BLOCK * BLOCK, b"", body.validator)
    except InvalidUrl:
        return "invalid"
    except OriginError as exc:
        return exc.code
    return "reached" if received in (CONTENT, LONG) else f"{len(received)} bytes"


def without_prefix(server: NameServer, canary: Canary, ca_file: Path, *, late: float) -> dict[str, object]:
    """What is reached while the answer about the NAT64 prefix is ``late`` by so many seconds; 0 for SERVFAIL.

    Each time in a new guard, which knows no prefix; and at last once the answer has come.
    """
    if late:
        server.late[NAT64_NAME] = late
    else:
        server.failing.add(NAT64_NAME)
    origin.cache_clear()
    outcomes: dict[str, object] = {}

    def tried(title: str, host: str) -> None:
        started = time.monotonic()
        outcome = attempt(Vector(title, f"http://{host}/file", ""), ca_file)
        outcomes[title] = (outcome, sorted(canary.drain()), time.monotonic() - started)

    for title, host in vectors.WITHOUT_PREFIX.items():
        tried(title, host)
    if late:
        time.sleep(late)
    server.late.clear()
    server.failing.clear()
    if late:
        tried("inside, known", vectors.WITHOUT_PREFIX["inside"])
        tried("public, known", vectors.WITHOUT_PREFIX["public"])
    return outcomes


def bare(address: str) -> bool:
    """Whether a client without a guard gets through to ``address``."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        with suppress(OSError):
            connection.connect((address, 80))
            return True
    return False


def certificates(directory: Path) -> tuple[Path, ssl.SSLContext]:
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.example.org", vectors.PUBLIC_V4).configure_cert(context)
    return ca_file, context


def main(directory: Path) -> None:
    every = vectors.every()
    enter(directory, hosts=vectors.HOSTS_FILE, search=vectors.SEARCH, own=vectors.OWN)
    ca_file, context = certificates(directory)
    # A proxy and a password file that nothing may use; a connection to the proxy would be seen as one.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = "http://10.0.0.8:8080"
    names = {name: steps for vector in every for name, steps in vector.names.items()}
    aliases = {name: target for vector in every for name, target in vector.aliases.items()}
    results = []
    tls = dict.fromkeys(vectors.TLS_PORTS, context)
    with (
        NameServer({NAT64_NAME: [vectors.NAT64_ANSWERS], **names}, aliases, vectors.MISSING) as server,
        Canary(script, vectors.PORTS, tls) as canary,
    ):
        reachable = [address for address in vectors.FORBIDDEN if bare(address)]
        canary.drain()
        for vector in every:
            outcome = attempt(vector, ca_file)
            asked = max((server.asked[name, "A"] for name in vector.names), default=0)
            results.append({"id": vector.id, "outcome": outcome, "accepted": canary.drain(), "asked": asked})
        late = without_prefix(server, canary, ca_file, late=3.0)
        failing = without_prefix(server, canary, ca_file, late=0.0)
    searched = [name for name, kind in server.asked if name.endswith(vectors.SEARCH)]
    printed = {"reachable": reachable, "results": results, "late": late, "failing": failing, "searched": searched}
    print(json.dumps(printed))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
