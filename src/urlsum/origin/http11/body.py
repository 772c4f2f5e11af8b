"""The body of one response: bounded in silence, rate and size, and an end only where one is proven.

A time-out per read does not see an origin that sends one byte just before each; the minimum rate does.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from urlsum.errors import Changed, Incomplete, TimedOut, TooLarge
from urlsum.origin.http11.stream import Block, ConnectionClosed, ReadTimeout
from urlsum.origin.tuning import BLOCK_BYTES
from urlsum.text.format import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ByteRange


class OnlyPart(Incomplete):
    """The response ended where it said that it would, before the end of the file: the rest can be asked for at once."""


class ResponseBody:
    """What one connection brings of a file, from ``position`` on.

    ``size`` is the total length of the file once it is proven: at once with a length, at the end with chunks. The
    bytes are as sent: a Content-Encoding that was not asked for is not undone.
    """

    def __init__(
        self,
        connection: Connection,
        byte_range: ByteRange,
        *,
        size: int | None,
        max_bytes: int,
        low_speed_limit: LowSpeedLimit,
    ) -> None:
        self.connection = connection
        self.position = byte_range.first
        self.size = size
        self._where = connection.target
        self._byte_range = byte_range
        self._max_bytes = max_bytes
        self._low_speed_limit = low_speed_limit
        self._ended = False
        self.end_assumed = byte_range.end_assumed
        """Whether only an earlier response told where it ends."""
        self.partial = byte_range.end is not None and size is not None and byte_range.end < size
        """Whether the response ends before the file does, by its own word."""
        self.length = byte_range.length
        """How many bytes the response has, if it says so."""
        if size is not None and size > max_bytes:
            raise self._too_large(size)

    def read_into(self, view: memoryview) -> int:
        """Receive the next bytes into ``view``; return how many, 0 only at the proven end.

        Raises Incomplete, TimedOut, TooLarge, Changed, ProtocolViolated, DeadlineReached.
        """
        if self._ended:
            return 0
        before = self.connection.stream.clock()
        with self._explained():
            count = self.connection.read_into(view)
        if count:
            self._came(count)
            self._check_speed(count, before)
        else:
            self._finish()
        return count

    def fill(self, block: Block) -> bool:
        """Receive until ``block`` is full, or for a moment; False once the end is proven.

        ``block.filled`` grows as bytes come: whoever has it may use them at once. Raises what ``read_into`` does; what
        ``block`` then holds still counts.
        """
        if self._ended or not self.connection.straight:
            count = self.read_into(block.view[block.filled :])
            block.filled += count
            return count > 0
        before, start = self.connection.stream.clock(), block.filled
        with self._explained():
            try:
                has_more = self.connection.fill(block)
            finally:
                # A body of known length cannot be longer than the file, whose size was compared when it was opened.
                self.position += block.filled - start
        if not has_more:
            self._finish()
            return False
        self._check_speed(block.filled - start, before)
        return True

    def skip_to(self, position: int, heartbeat: Callable[[], None]) -> None:
        """Receive and drop what comes before ``position``.

        ``heartbeat`` is called after every block. Raises what ``fill`` does, and Changed when the file ends first.
        """
        scratch = memoryview(bytearray(min(max(position - self.position, 0), BLOCK_BYTES)))
        while self.position < position:
            self._fill_some(scratch[: position - self.position])
            heartbeat()

    def read_up_to(self, end: int, into: memoryview, heartbeat: Callable[[], None]) -> None:
        """Receive the bytes up to ``end`` to the end of ``into``; those that it had before stay where they are.

        Raises what ``skip_to`` does.
        """
        while self.position < end:
            self._fill_some(into[len(into) - (end - self.position) :])
            heartbeat()

    def _fill_some(self, view: memoryview) -> None:
        if not self.fill(Block(view)):
            raise self.shorter()

    def shorter(self) -> Changed:
        """The error of a file that ends before a place where it once went on."""
        return Changed(f"{self._where}: the file is shorter than it was; it ends at {self.position} bytes")

    def mixed_versions(self, at: int) -> Changed:
        """The error of a file whose parts do not fit together, whatever their ETags say."""
        return Changed(f"{self._where}: parts of different versions at {human_bytes(at)}")

    def _came(self, count: int) -> None:
        position = self.position + count
        if position > self._max_bytes:
            raise self._too_large(None)
        if self.size is not None and position > self.size:
            raise self._longer()
        self.position = position

    def _check_speed(self, count: int, before: float) -> None:
        # The end of the body is no byte, and it may be waited for: only what goes on can be too slow.
        if self._low_speed_limit.too_slow(count, self.connection.stream.clock() - before):
            raise TimedOut(
                f"{self._where}: less than {self._low_speed_limit.min_rate} bytes per second came, {self._progress()}"
            )

    def _finish(self) -> None:
        """Accept the end that the framing proves, if it is the end of the file."""
        if self.size is None:
            self.size = self.position
        if self.position < self.size:
            if self._byte_range.end == self.position:
                raise OnlyPart(f"{self._where}: the origin sent only a part, {self._progress()}")
            raise Incomplete(f"{self._where}: the body ended {self._progress()}")
        if self._byte_range.end_assumed:
            with self._explained():
                has_more = self.connection.has_more()
            if has_more:
                raise self._longer()
        self._ended = True

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in terms of the file what the wire says of itself."""
        try:
            yield
        except ReadTimeout as exc:
            seconds = self.connection.stream.read_timeout
            raise TimedOut(f"{self._where}: nothing came for {seconds:g} s, {self._progress()}") from exc
        except ConnectionClosed as exc:
            raise Incomplete(f"{self._where}: the connection was cut {self._progress()}") from exc

    def _longer(self) -> Changed:
        return Changed(f"{self._where}: the file is longer than it was before, {self._progress()}")

    def _progress(self) -> str:
        if self.size is None:
            return f"at {human_bytes(self.position)}"
        return f"at {human_bytes(self.position)} of {human_bytes(self.size)}"

    def _too_large(self, size: int | None) -> TooLarge:
        length = "more" if size is None else human_bytes(size)
        return TooLarge(
            f"{self._where}: the file has {length}; at most {human_bytes(self._max_bytes)} are read (MAX_BYTES)"
        )


class LowSpeedLimit:
    """Adds up what came and how long it was waited for, window by window.

    Only time spent waiting for the origin counts, so that a slow consumer is not held against it.
    ``min_rate`` is in bytes per second, 0 for no minimum; ``window`` in seconds.
    """

    def __init__(self, min_rate: int, window: float) -> None:
        self.min_rate = min_rate
        self._window = window
        self._seconds = 0.0
        self._count = 0

    def too_slow(self, count: int, seconds: float) -> bool:
        """Count in ``count`` bytes after ``seconds`` of waiting; whether a whole window was below the minimum."""
        if not math.isfinite(seconds):
            return False  # the clock of a worker that is being stopped stands at infinity
        self._seconds += seconds
        self._count += count
        if self._seconds < self._window:
            return False
        slow = self._count < self.min_rate * self._seconds
        self._seconds, self._count = 0.0, 0
        return slow
