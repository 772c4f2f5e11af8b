"""Huge files in little time: every byte that is read and hashed counts as a mebibyte.

Only the lengths are simulated. The real MD5 hashes the bytes, its states are saved and restored as usual, and a run
that skips, repeats or loses a byte ends with a different digest.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.support.origin.synthetic import FILE
from urlsum.errors import Changed, DeadlineReached, StateError
from urlsum.md5 import MD5

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.origin.synthetic import Clock
    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint

SCALE = 2**20


class ScaledMD5:
    """``urlsum.md5.MD5`` that counts each byte as SCALE bytes."""

    def __init__(self) -> None:
        self._md5 = MD5()

    @classmethod
    def restore(cls, state: bytes) -> ScaledMD5:
        scaled = cls()
        scaled._md5 = MD5.restore(state)
        return scaled

    @property
    def count(self) -> int:
        return self._md5.count * SCALE

    def update(self, data: Any) -> None:
        self._md5.update(data)

    def hexdigest(self) -> str:
        return self._md5.hexdigest()

    def checkpoint(self) -> tuple[int, bytes]:
        offset, state = self._md5.checkpoint()
        return offset * SCALE, state


@dataclass
class ScaledSource:
    """An origin with one file of ``size`` simulated bytes at ``rate`` simulated bytes per second."""

    size: int
    clock: Clock
    rate: float
    piece: int = 512
    validator: str = "v1"
    fault: Callable[[int], None] = lambda offset: None
    opened: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.content = random.Random(self.size).randbytes(self.size // SCALE)

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    def open(
        self, url: str, *, deadline: Deadline, resume: Checkpoint | None = None, heartbeat: object = None
    ) -> ScaledStream:
        offset = resume.offset if resume else 0
        self.opened.append(offset)
        if resume is not None and resume.validator != self.validator:
            raise Changed(f"{url}: another version")
        if offset % SCALE:
            raise StateError(f"no checkpoint of a scaled file stands at {offset}")
        return ScaledStream(self, offset, deadline)

    def recognize(self, url: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{url} has no identity")


class ScaledStream:
    def __init__(self, source: ScaledSource, offset: int, deadline: Deadline) -> None:
        self.offset = offset
        self.reread = 0
        self.size: int | None = source.size
        self.validator = source.validator
        self.representation = FILE
        self.identity = self.fingerprint = None
        self._source = source
        self._at = offset // SCALE
        self._deadline = deadline

    def read(self) -> memoryview:
        source = self._source
        if self._deadline.cancelled or source.clock() >= self._deadline.at:
            raise DeadlineReached
        source.fault(self._at * SCALE)
        piece = source.content[self._at : self._at + source.piece]
        source.clock.now += len(piece) * SCALE / source.rate
        self._at += len(piece)
        return memoryview(piece)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
