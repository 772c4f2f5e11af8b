"""``urlsum compare URL FILE``: reads both in step, and stops at the first byte that differs."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from urlsum.cli.passing import PassingSource, PassingStream
from urlsum.deadline import Deadline
from urlsum.errors import DeadlineReached, InvalidUrl, OriginError, UrlsumError
from urlsum.origin.source import no_lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from urlsum.task import Checkpoint
    from urlsum.worker.source import Source, Stream

# Places that are compared first, over the whole file and at its end: a copy that was cut off and padded, or written by
# a client that stopped between its parts, differs in nearly all of them. Each costs a request.
SPOTS = 16
SPOT_BYTES = 65_536
# Reading a smaller file takes no longer than asking for places of it.
LEAST_BYTES = 64 * 2**20
# If the places take longer, the origin is slow, and reading in order is as good.
SPOT_SECONDS = 20.0


class Differs(UrlsumError):
    """The files differ; the message says where."""


class LocalUnreadable(UrlsumError):
    """The file of this machine cannot be read."""


class SpotSource(Protocol):
    """Reads places of a file: ``urlsum.origin.source.HttpSource``."""

    def spots(
        self, url: str, choose: Callable[[int], Sequence[tuple[int, int]]], *, deadline: Deadline
    ) -> Iterator[tuple[int, memoryview]]:
        """Offset and bytes of each place that ``choose`` returns for the size of the file."""
        ...


class LocalFile:
    """The file of this machine. A context manager that closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
            info = path.stat()
        except OSError as exc:
            raise LocalUnreadable(f"{path}: {exc.strerror}") from exc
        # The length of a pipe or a device says nothing.
        self.size = info.st_size if stat.S_ISREG(info.st_mode) else None

    def compare(self, offset: int, piece: memoryview, *, in_order: bool = True) -> None:
        """Raises Differs if the file has other bytes at ``offset``, LocalUnreadable."""
        mine = self._read(offset, len(piece))
        if mine == piece:
            return
        at = offset + _first_difference(mine, piece)
        if len(mine) < len(piece) and at == offset + len(mine):
            raise Differs(f"{self.path} ends after {at} bytes, and the URL goes on")
        first = "the first difference is" if in_order else "one difference, of perhaps more, is"
        raise Differs(f"{first} at byte {at} (counted from 0)")

    def check_end(self, offset: int) -> None:
        """Raises Differs if the file goes on at ``offset``, LocalUnreadable."""
        if self._read(offset, 1):
            raise Differs(f"the URL ends after {offset} bytes, and {self.path} goes on")

    def check_size(self, size: int | None) -> None:
        """Raises Differs if the URL's ``size`` is another one."""
        if None not in (size, self.size) and size != self.size:
            raise Differs(f"the URL has {size} bytes, and {self.path} has {self.size}")

    def _read(self, offset: int, count: int) -> bytes:
        try:
            if self._file.seekable() and self._file.tell() != offset:
                self._file.seek(offset)
            return self._file.read(count)
        except OSError as exc:
            raise LocalUnreadable(f"{self.path}: {exc.strerror}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def compare_spots(url: str, local: LocalFile, source: SpotSource) -> None:
    """Compare the size and some places. Raises Differs, LocalUnreadable."""

    def choose(size: int) -> Sequence[tuple[int, int]]:
        local.check_size(size)
        if local.size is None or size < LEAST_BYTES:
            return []
        last = size - SPOT_BYTES
        # The end first: a download that stopped lacks it.
        firsts = [last * index // (SPOTS - 1) for index in reversed(range(SPOTS))]
        return [(first, first + SPOT_BYTES) for first in firsts]

    # What goes wrong here goes wrong again when the file is read in order, and is retried and reported then.
    with suppress(OriginError, InvalidUrl, DeadlineReached):
        for offset, piece in source.spots(url, choose, deadline=Deadline.after(SPOT_SECONDS)):
            local.compare(offset, piece, in_order=False)


class Comparing(PassingSource):
    """A Source whose streams raise Differs as soon as they differ from the file."""

    def __init__(self, source: Source, local: LocalFile) -> None:
        super().__init__(source)
        self._local = local

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Stream:
        """Open the file. Raises the errors of the source, and Differs."""
        stream = super().open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)
        try:
            self._local.check_size(stream.size)
        except BaseException:
            stream.close()
            raise
        return _ComparingStream(stream, self._local)


class _ComparingStream(PassingStream):
    def __init__(self, stream: Stream, local: LocalFile) -> None:
        super().__init__(stream)
        self._at = stream.offset
        self._local = local

    def read(self) -> memoryview:
        piece = super().read()
        if piece:
            self._local.compare(self._at, piece)
        else:
            self._local.check_end(self._at)
        self._at += len(piece)
        return piece


def _first_difference(mine: bytes, theirs: memoryview) -> int:
    """The index of the first byte that differs, or the length of the shorter one."""
    low, high = 0, min(len(mine), len(theirs))
    if mine[:high] == theirs[:high]:
        return high
    while high - low > 1:  # bytes are compared in C, so halving is faster than a loop over them
        middle = (low + high) // 2
        if mine[low:middle] != theirs[low:middle]:
            high = middle
        else:
            low = middle
    return low
