"""The body of one file: its bytes in order, in constant memory, and an end only where one is proven."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from urlsum.errors import Changed, Incomplete, TimedOut, TooLarge
from urlsum.origin.version import BLOCK_BYTES, TAIL_BYTES, Tail, Version, digest
from urlsum.origin.wire import Cut, Silent
from urlsum.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.connection import Connection
    from urlsum.origin.extent import Extent
    from urlsum.origin.pace import Pace

# The most that one read() returns. MD5 costs 1.4 ms per MiB, beside which the calls around it vanish, and a smaller
# buffer costs TLS time (FACTS: 1 MiB reads into one buffer were the fastest single connection).
READ_BYTES = 1_048_576
# When less than this is free behind the last read, the buffer is begun again: short reads cost calls.
MIN_READ_BYTES = 262_144
# The bytes before the read position stay in the buffer, so that a proof of version can be made at any time: the
# tail, and what lies between its end, on a block boundary, and the position.
KEPT_BYTES = TAIL_BYTES + BLOCK_BYTES


class Body:
    """The bytes of one version of one file, from ``offset`` on. Also a context manager that closes it.

    ``size`` is the total length of the file once its framing proves it: at once with a length, at the end with
    chunks. The bytes are as sent: a Content-Encoding that was not asked for is not undone.
    """

    def __init__(self, connection: Connection, version: Version, extent: Extent, *, max_bytes: int, pace: Pace) -> None:
        self.offset = extent.first
        self.size = version.size
        self._connection = connection
        self._where = connection.target
        self._version = version
        self._extent = extent
        self._position = extent.first
        self._max_bytes = max_bytes
        self._pace = pace
        self._ended = False
        self._buffer = memoryview(bytearray(KEPT_BYTES + READ_BYTES))
        self._filled = 0
        if self.size is not None and self.size > max_bytes:
            raise self._too_large(self.size)

    @property
    def validator(self) -> str:
        """The proof of version as of the bytes read so far, for the next checkpoint."""
        end = self._position - self._position % BLOCK_BYTES
        stop = self._filled - (self._position - end)
        length = min(TAIL_BYTES, max(stop, 0))
        tail = Tail(end, length, digest(self._buffer[stop - length : stop])) if length else None
        return replace(self._version, size=self.size, tail=tail).dump()

    def read(self) -> memoryview:
        """The next bytes, valid until the next call; empty only at the proven end of the file.

        Raises Incomplete, TimedOut, TooLarge, Changed, ProtocolViolated, DeadlineReached.
        """
        return self._read(READ_BYTES)

    def skip_to(self, position: int) -> None:
        """Read and drop everything before ``position``. Raises Changed when the file ends before it."""
        while self._position < position:
            if not self._read(min(position - self._position, READ_BYTES)):
                raise Changed(f"{self._where}: the file is shorter than it was; it ends at {self._position} bytes")
        self.offset = self._position

    def proves(self, tail: Tail) -> bool:
        """Read up to the end of ``tail``; whether the bytes there are those of the version it was made from."""
        self.skip_to(tail.end)
        return digest(self._buffer[self._filled - tail.length : self._filled]) == tail.digest

    def close(self) -> None:
        """Let go of the connection; a second time does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, most: int) -> memoryview:
        if self._ended:
            return self._buffer[:0]
        if len(self._buffer) - self._filled < min(most, MIN_READ_BYTES):
            self._buffer[:KEPT_BYTES] = self._buffer[self._filled - KEPT_BYTES : self._filled]
            self._filled = KEPT_BYTES
        view = self._buffer[self._filled : self._filled + most]
        count = self._receive(view)
        if count == 0:
            self._finish()
            return self._buffer[:0]
        if self._position + count > self._max_bytes:
            raise self._too_large(None)
        if self.size is not None and self._position + count > self.size:
            raise self._longer()
        self._position += count
        self._filled += count
        return view[:count]

    def _receive(self, view: memoryview) -> int:
        clock = self._connection.wire.clock
        before = clock()
        with self._explained():
            count = self._connection.read_into(view)
        # The end of the body is no byte, and it may be waited for: only what goes on can be too slow.
        if count and self._pace.too_slow(count, clock() - before):
            raise TimedOut(f"{self._where}: less than {self._pace.min_rate} bytes per second came, {self._progress()}")
        return count

    def _finish(self) -> None:
        """Accept the end that the framing proves, if it is the end of the file."""
        if self.size is None:
            self.size = self._position
        if self._position < self.size:
            if self._extent.end == self._position:
                raise Incomplete(f"{self._where}: the origin sent only a part, {self._progress()}")
            raise Incomplete(f"{self._where}: the body ended {self._progress()}")
        if self._extent.borrowed:
            with self._explained():
                goes_on = self._connection.goes_on()
            if goes_on:
                raise self._longer()
        self._ended = True

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in terms of the file what the wire says of itself."""
        try:
            yield
        except Silent as exc:
            seconds = self._connection.wire.read_timeout
            raise TimedOut(f"{self._where}: nothing came for {seconds:g} s, {self._progress()}") from exc
        except Cut as exc:
            raise Incomplete(f"{self._where}: the connection was cut {self._progress()}") from exc

    def _longer(self) -> Changed:
        return Changed(f"{self._where}: the file is longer than it was before, {self._progress()}")

    def _progress(self) -> str:
        if self.size is None:
            return f"at {human_bytes(self._position)}"
        return f"at {human_bytes(self._position)} of {human_bytes(self.size)}"

    def _too_large(self, size: int | None) -> TooLarge:
        length = "more" if size is None else human_bytes(size)
        return TooLarge(
            f"{self._where}: the file has {length}; at most {human_bytes(self._max_bytes)} are read (MAX_BYTES)"
        )
