"""Simulated files without sockets, of any size and version, with any fault."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from urlsum.errors import Changed, DeadlineReached
from urlsum.task import Proof, Representation

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint

FILE = Representation(name="f", final_url="https://o.example/f", etag='"v1"', proof=Proof.ETAG)


@dataclass
class Clock:
    """A clock that moves only on request."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SyntheticSource:
    """Serves ``content`` in pieces; each piece takes ``seconds`` on ``clock``.

    ``fault(offset)`` is called before each piece and may raise an origin's error. ``announced`` is the length that the
    origin gives; the content's by default.
    """

    content: bytes
    clock: Clock
    piece: int = 1000
    seconds: float = 1.0
    version: str = "v1"
    fault: Callable[[int], None] = lambda offset: None
    opened: list[int] = field(default_factory=list)
    recognized: list[str] = field(default_factory=list)
    representation: Representation = FILE
    announced: int | None = None
    ranges: bool = True

    def identity(self, url: str) -> str:
        return hashlib.sha256(f"{self.version} {url.partition('#')[0]}".encode()).hexdigest()

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    def open(
        self, url: str, *, deadline: Deadline, resume: Checkpoint | None = None, heartbeat: object = None
    ) -> SyntheticStream:
        self.opened.append(resume.offset if resume else 0)
        if resume is not None and resume.validator != self.version:
            raise Changed(f"{url}: another version")
        return SyntheticStream(self, resume.offset if resume and self.ranges else 0, deadline, self.identity(url))

    def recognize(
        self, url: str, wanted: str, fingerprint: str, *, deadline: Deadline, heartbeat: object = None
    ) -> tuple[Representation, int] | None:
        self.recognized.append(url)
        if (wanted, fingerprint) != (self.identity(url), self.md5):
            raise Changed(f"{url}: another version")
        return self.representation, 3 * 65_536


class SyntheticStream:
    def __init__(self, source: SyntheticSource, offset: int, deadline: Deadline, identity: str | None = None) -> None:
        self.source = source
        self.identity = identity
        self.offset = offset
        self.reread = 0
        self.size: int | None = len(source.content) if source.announced is None else source.announced
        self.version = source.version
        self.closed = False
        self._at = offset
        self._deadline = deadline

    @property
    def validator(self) -> str:
        return self.version

    @property
    def representation(self) -> Representation:
        return self.source.representation

    @property
    def fingerprint(self) -> str:
        return self.source.md5

    def read(self) -> memoryview:
        if self._deadline.cancelled or self.source.clock() >= self._deadline.at:
            raise DeadlineReached
        self.source.fault(self._at)
        self.source.clock.now += self.source.seconds
        piece = self.source.content[self._at : self._at + self.source.piece]
        self._at += len(piece)
        return memoryview(piece)

    def abort(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
