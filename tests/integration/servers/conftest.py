"""Real web servers, and reads of their files that are slow enough to be overtaken by a new version."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Self

import pytest

from tests.integration.faults.test_parallel import small_parts
from tests.integration.servers.replacement import SIZE
from tests.support.servers import PROGRAMS, web_server
from tests.support.worker import patient
from urlsum.errors import OriginError
from urlsum.origin import body
from urlsum.origin.guard import Guard
from urlsum.origin.http import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.servers import WebServer
    from urlsum.hashing.job import Source, Stream
    from urlsum.origin.addresses import Address
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint

__all__ = ["small_parts"]

# Bytes per second: a file takes an eighth of a second, mostly asleep, so that several are read side by side.
RATE = 8 * SIZE
SIDE_BY_SIDE = 10
# Together these keep the kernel's buffers below 0.3 MiB a connection; by default they take 4 MiB, more than a file.
# The length of a server's send buffer follows the segment's, which is 64 KiB on loopback and 1,460 bytes on Ethernet.
RECEIVE_BUFFER_BYTES = 8_192
SEGMENT_BYTES = 1_460
# For one file; generous, because the machine may be busy.
SECONDS = 60.0


@dataclass
class Paced:
    """A source whose files are read at RATE. Calls ``act`` once, when the byte at ``at`` was read."""

    source: Source
    at: int
    act: Callable[[], None]
    acted: bool = False

    def open(self, url: str, *, deadline: float, resume: Checkpoint | None = None) -> PacedStream:
        return PacedStream(self.source.open(url, deadline=deadline, resume=resume), self)


@dataclass
class PacedStream:
    """What a Paced source opens."""

    stream: Stream
    source: Paced
    offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.offset = self._position = self.stream.offset

    @property
    def reread(self) -> int:
        return self.stream.reread

    @property
    def size(self) -> int | None:
        return self.stream.size

    @property
    def validator(self) -> str:
        return self.stream.validator

    def read(self) -> memoryview:
        view = self.stream.read()
        time.sleep(len(view) / RATE)
        self._position += len(view)
        if self._position > self.source.at and not self.source.acted:
            self.source.acted = True
            self.source.act()
        return view

    def close(self) -> None:
        self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass
class Client:
    """Reads files over ``connections`` connections with small buffers; ``opened`` has the port of each one."""

    connections: int
    opened: list[int] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        # A pause of this machine must not look like one of the server.
        return patient(
            connections_per_origin=self.connections, connect_timeout=5.0, read_timeout=5.0, min_rate_seconds=5.0
        )

    def origin(self) -> Origin:
        return Origin(self.settings, Guard(self.settings, resolve=lambda host: ["127.0.0.1"], dial=self.dial))

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        connection = socket.socket(socket.AF_INET)
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


def digest(source: Source, url: str) -> str:
    """The MD5 of the file, or the code of the error."""
    md5 = hashlib.md5()
    try:
        with source.open(url, deadline=time.monotonic() + SECONDS) as stream:
            while piece := stream.read():
                md5.update(piece)
    except OriginError as exc:
        return exc.code
    return md5.hexdigest()


def side_by_side(case: Callable[[int], str], points: Sequence[int]) -> dict[int, str]:
    """What ``case`` returns for each of ``points``, SIDE_BY_SIDE at a time."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(points, pool.map(case, points), strict=True))


@pytest.fixture(scope="package", params=sorted(PROGRAMS))
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    with web_server(request.param) as running:
        yield running


@pytest.fixture(params=["one", "eight", "inline"])
def client(request: pytest.FixtureRequest, small_parts: None, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A reader of one of the three kinds: one connection ahead of it, eight, or none, as for a short file."""
    if request.param == "inline":
        monkeypatch.setattr(body, "INLINE_BYTES", SIZE)
    return Client(8 if request.param == "eight" else 1)


@pytest.fixture
def names() -> Iterator[str]:
    return (f"file-{number}.bin" for number in count())
