"""A file of two versions of one length, and the ways in which the new one takes the place of the old one."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Far more than lies between the disk and the reader: 0.3 MiB in the kernel, 0.5 MiB in the window of eight connections.
SIZE = 2 * 2**20
OLD, NEW = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))
# More than is compared at the ends of a file: a checkpoint's tail has 64 KiB (TAIL_BYTES).
EDGE = 128 * 1024
NEW_BUT_FOR_THE_TAIL = NEW[:-EDGE] + OLD[-EDGE:]
NEW_IN_THE_MIDDLE = OLD[:EDGE] + NEW_BUT_FOR_THE_TAIL[EDGE:]
# The old version is an hour old: Apache gives one that is younger than a second a weak ETag, which is another case.
AGE_SECONDS = 3600
SECOND = 10**9

Way = Callable[[Path, bytes], None]


def overwrite(path: Path, content: bytes) -> None:
    """Replace the bytes in place, as ``rsync --inplace`` does."""
    with path.open("r+b") as file:
        file.write(content)


def truncate(path: Path, content: bytes) -> None:
    """Empty the file and write it again, as ``cp`` does."""
    path.write_bytes(content)


def rename(path: Path, content: bytes) -> None:
    """Write another file and give it the name, as ``mv`` and ``rsync`` do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


WAYS: tuple[Way, ...] = (overwrite, truncate, rename)


@cache
def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass(frozen=True)
class Replacement:
    """The file, which has ``old``, gets ``content`` by ``way``.

    It then looks ``younger`` by so many nanoseconds; None: by its age.
    """

    way: Way
    content: bytes = NEW
    younger: int | None = None
    old: bytes = OLD

    def prepare(self, path: Path) -> None:
        """Write the old version, which was modified at the beginning of a second."""
        path.write_bytes(self.old)
        modified = (int(time.time()) - AGE_SECONDS) * SECOND
        os.utime(path, ns=(modified, modified))

    def apply(self, path: Path) -> None:
        """Write the new version."""
        modified = path.stat().st_mtime_ns
        self.way(path, self.content)
        if self.younger is not None:
            modified += self.younger
            os.utime(path, ns=(modified, modified))

    def version(self, digest: str | None) -> str:
        """Which version has this MD5: ``old``, ``new``, or ``wrong`` for neither."""
        known = {_md5(self.old): "old", _md5(self.content): "new"}
        return known.get(digest or "", "wrong")
