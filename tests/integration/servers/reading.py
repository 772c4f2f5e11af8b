"""Reads that are slow enough for a file to be replaced while they are under way."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.integration.servers.replacement import SIZE, Way, overwrite, rename, truncate
from tests.support.origin.task_runner import patient
from urlsum.deadline import Deadline
from urlsum.errors import FailureCode, OriginError
from urlsum.origin.guard.guard import Guard
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.source import Download, HttpSource
from urlsum.origin.tuning import DEFAULTS, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.integration.servers.replacement import Replacement
    from tests.support.origin.web_servers import WebServer
    from urlsum.origin.guard.addresses import Address
    from urlsum.settings import Settings

# Bytes per second: a file takes an eighth of a second, mostly asleep, so that several are read side by side.
RATE = 8 * SIZE
SIDE_BY_SIDE = 10
# Together these keep the kernel's buffers below 0.3 MiB a connection; by default they take 4 MiB, more than a file.
# The length of a server's send buffer follows the segment's, which is 64 KiB on loopback and 1,460 bytes on Ethernet.
RECEIVE_BUFFER_BYTES = 8_192
SEGMENT_BYTES = 1_460
NUMBERS = count()
# Incomplete: nginx and Caddy close the connection when the file ends early, and a part of another version ends parallel
# reading, so that the next response has the last word.
HONEST_ENDS: set[str] = {"old", "new", FailureCode.CHANGED, FailureCode.INCOMPLETE}
HONEST: dict[Way, set[str]] = dict.fromkeys((overwrite, truncate, rename), HONEST_ENDS)
# For one file; generous, because the machine may be busy.
SECONDS = 60.0


class Paced(HttpSource):
    """Reads at ``rate``, in bytes per second. Calls ``act`` once, after the byte at ``at``; -1 is after the head."""

    def __init__(
        self, settings: Settings, guard: Guard, *, rate: float, at: int, act: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(settings, guard, **options)
        self._rate = rate
        self._at = at
        self._act = act
        self.acted = False

    def open(self, url: str, **options: Any) -> Download:
        body = super().open(url, **options)
        self._reach(body.offset)
        body.read = self._paced(body.read, body.offset)  # type: ignore[method-assign] # all else stays a Body's
        return body

    def _paced(self, read: Callable[[], memoryview], position: int) -> Callable[[], memoryview]:
        def paced() -> memoryview:
            nonlocal position
            view = read()
            time.sleep(len(view) / self._rate)
            position += len(view)
            self._reach(position)
            return view

        return paced

    def _reach(self, position: int) -> None:
        if position > self._at and not self.acted:
            self.acted = True
            self._act()


@dataclass
class Client:
    """Reads files over ``connections`` connections with small buffers, at ``rate``.

    ``opened`` has the port of each connection that was opened.
    """

    connections: int
    rate: float = RATE
    new_socket: Callable[[], socket.socket] = socket.socket
    opened: list[int] = field(default_factory=list)
    tuning: Tuning = DEFAULTS
    controller: Callable[..., ConcurrencyController] = ConcurrencyController

    @property
    def settings(self) -> Settings:
        # A pause of this machine must not look like one of the server.
        return patient(
            connections_per_origin=self.connections, connect_timeout=20.0, read_timeout=20.0, min_rate_seconds=20.0
        )

    def origin(self, at: int, act: Callable[[], None]) -> Paced:
        guard = Guard(self.settings, resolve=lambda host: ["127.0.0.1"], dial=self.dial)
        options = {"tuning": self.tuning, "controller": self.controller}
        return Paced(self.settings, guard, rate=self.rate, at=at, act=act, **options)

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        connection = self.new_socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        connection.settimeout(within)
        try:
            connection.connect((str(address), port))
        except OSError:
            connection.close()
            raise
        self.opened.append(port)
        return connection


def digest(origin: HttpSource, url: str) -> str:
    """The MD5 of the file, or the code of the error."""
    md5 = hashlib.md5()
    try:
        with origin.open(url, deadline=Deadline.after(SECONDS)) as body:
            while piece := body.read():
                md5.update(piece)
    except OriginError as exc:
        return exc.code
    return md5.hexdigest()


def outcome(server: WebServer, client: Client, replacement: Replacement, at: int, *, pause: float = 0) -> str:
    """Which version the digest is of, when the file is replaced at the byte ``at``; or the code of the error.

    The reader waits for ``pause`` seconds after that.
    """
    path = server.root / f"{next(NUMBERS)}.bin"

    def act() -> None:
        replacement.apply(path)
        time.sleep(pause)

    replacement.prepare(path)
    origin = client.origin(at, act)
    found = digest(origin, server.url(path.name))
    path.unlink()
    assert origin.acted, found
    return found if found in set(FailureCode) else replacement.version(found)


def dishonest(outcomes: dict[int, str], way: Way) -> dict[int, str]:
    """Those of ``outcomes`` that no read may end with."""
    return {at: found for at, found in outcomes.items() if found not in HONEST[way]}


def side_by_side(case: Callable[[int], str], points: Sequence[int], *, most: int = SIDE_BY_SIDE) -> dict[int, str]:
    """What ``case`` returns for each of ``points``, at most ``most`` at a time."""
    with ThreadPoolExecutor(most) as pool:
        return dict(zip(points, pool.map(case, points), strict=True))
