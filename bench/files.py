"""Sample files of random bytes, created once. The page cache holds them, so that no disk is measured."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
PIECE_BYTES = 8 * MIB


@dataclass(frozen=True)
class Sample:
    """A file below the origin's root."""

    name: str
    size: int
    md5: str


def random_file(folder: Path, size: int) -> Sample:
    """A file of ``size`` random bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    path = folder / f"{size // MIB}MiB.bin"
    with path.open("wb") as file:
        for at in range(0, size, PIECE_BYTES):
            piece = os.urandom(min(PIECE_BYTES, size - at))
            digest.update(piece)
            file.write(piece)
    return Sample(path.name, size, digest.hexdigest())


def small_files(folder: Path, count: int, size: int) -> list[Sample]:
    """``count`` different files of ``size`` random bytes, a thousand in each sub-folder."""
    samples = []
    for number in range(count):
        path = folder / "small" / f"{number // 1000}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = os.urandom(size)
        path.write_bytes(content)
        samples.append(
            Sample(str(path.relative_to(folder)), size, hashlib.md5(content, usedforsecurity=False).hexdigest())
        )
    return samples


def hollow_file(folder: Path, size: int) -> Sample:
    """A sparse file of ``size`` zero bytes, which needs no disk space. MD5 costs the same for all bytes."""
    path = folder / f"{size // MIB}MiB.hollow"
    with path.open("wb") as file:
        file.truncate(size)
    digest = hashlib.md5(usedforsecurity=False)
    piece = bytes(PIECE_BYTES)
    for at in range(0, size, PIECE_BYTES):
        digest.update(piece[: min(PIECE_BYTES, size - at)])
    return Sample(path.name, size, digest.hexdigest())
