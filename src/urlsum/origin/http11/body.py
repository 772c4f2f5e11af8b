"""The response body: bounded in silence, rate and size, and ended only where its end is proven."""

from __future__ import annotations

from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING

from urlsum.errors import Changed, Incomplete, TimedOut, TooCostly, TooLarge
from urlsum.origin.http11.low_speed_limit import CpuLimit
from urlsum.origin.http11.stream import Block, ConnectionClosed, ReadTimeout
from urlsum.origin.tuning import BLOCK_BYTES
from urlsum.text.format import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.low_speed_limit import LowSpeedLimit
    from urlsum.origin.http11.response import ByteRange


class OnlyPart(Incomplete):
    """The response ended where it announced, before the end of the file: the rest can be requested at once."""


class ResponseBody:
    """The bytes of a file that one response brings, from ``position`` on. Raises TooLarge.

    ``size`` is the total length of the file in bytes once it is proven: at once with a length, at the end with chunks.
    The bytes are as sent: a Content-Encoding that was not requested is not decoded.
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
        self._cpu_limit = CpuLimit()
        self._ended = False
        self.end_assumed = byte_range.end_assumed
        """Whether only an earlier response gave its end."""
        self.partial = byte_range.end is not None and size is not None and byte_range.end < size
        """Whether the response ends before the file does, by its own fields."""
        self.length = byte_range.length
        """How many bytes the response has; None if it does not say so."""
        if size is not None and size > max_bytes:
            raise self._too_large(size)

    def read_into(self, view: memoryview) -> int:
        """Receive the next bytes into ``view``; return how many, 0 only at the proven end.

        Raises Incomplete, TimedOut, TooLarge, TooCostly, Changed, ProtocolViolated, DeadlineReached.
        """
        if self._ended:
            return 0
        before, cpu = self.connection.stream.clock(), thread_time()
        with self._mapped_errors():
            count = self.connection.read_into(view)
        if count:
            self._advance(count)
            self._check_speed(count, before, cpu)
        else:
            self._finish()
        return count

    def fill(self, block: Block) -> bool:
        """Receive until ``block`` is full, or for FILL_SECONDS; False once the end is proven.

        ``block.filled`` grows as bytes come: another thread may read them at once. Raises what ``read_into`` does; the
        bytes in ``block`` stay valid.
        """
        if self._ended or not self.connection.can_fill:
            count = self.read_into(block.view[block.filled :])
            block.filled += count
            return count > 0
        before, cpu, start = self.connection.stream.clock(), thread_time(), block.filled
        with self._mapped_errors():
            try:
                has_more = self.connection.fill(block)
            finally:
                # A body of known length cannot be longer than the file, whose size was checked when it was opened.
                self.position += block.filled - start
        if not has_more:
            self._finish()
            return False
        self._check_speed(block.filled - start, before, cpu)
        return True

    def skip_to(self, position: int, heartbeat: Callable[[], None]) -> None:
        """Receive and drop the bytes before ``position``.

        ``heartbeat`` is called after every block. Raises what ``fill`` does, and Changed when the file ends first.
        """
        scratch = memoryview(bytearray(min(max(position - self.position, 0), BLOCK_BYTES)))
        while self.position < position:
            self._fill_some(scratch[: position - self.position])
            heartbeat()

    def read_up_to(self, end: int, into: memoryview, heartbeat: Callable[[], None]) -> None:
        """Receive the bytes up to ``end`` into the end of ``into``; its earlier bytes stay.

        ``heartbeat`` and errors are those of ``skip_to``.
        """
        while self.position < end:
            self._fill_some(into[len(into) - (end - self.position) :])
            heartbeat()

    def _fill_some(self, view: memoryview) -> None:
        if not self.fill(Block(view)):
            raise self.shorter()

    def shorter(self) -> Changed:
        """The error for a file that ends before a position that it once had."""
        return Changed(f"{self._where}: the file is shorter than before: it ends at {self.position} bytes")

    def mixed_versions(self, at: int) -> Changed:
        """The error for a file whose parts do not match, even if their ETags do."""
        return Changed(f"{self._where}: the bytes before and after {human_bytes(at)} come from different versions")

    def _advance(self, count: int) -> None:
        position = self.position + count
        if position > self._max_bytes:
            raise self._too_large(None)
        if self.size is not None and position > self.size:
            raise self._longer()
        self.position = position

    def _check_speed(self, count: int, before: float, cpu: float) -> None:
        # Not called at the end of a body: it brings no byte, and waiting for it is allowed.
        seconds = self.connection.stream.clock() - before
        if self._cpu_limit.too_costly(count, thread_time() - cpu, seconds):
            raise TooCostly(f"{self._where}: the file comes in pieces of very few bytes, {self._progress()}")
        if self._low_speed_limit.too_slow(count, seconds):
            raise TimedOut(
                f"{self._where}: less than {self._low_speed_limit.min_rate} bytes per second, {self._progress()}"
            )

    def _finish(self) -> None:
        """Accept the end that the framing proves, if it is the end of the file."""
        if self.size is None:
            self.size = self.position
        if self.position < self.size:
            if self._byte_range.end == self.position:
                raise OnlyPart(f"{self._where}: the server sent only a part, which ends {self._progress()}")
            raise Incomplete(f"{self._where}: the response ended {self._progress()}")
        if self._byte_range.end_assumed:
            with self._mapped_errors():
                has_more = self.connection.has_more()
            if has_more:
                raise self._longer()
        self._ended = True

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Turn the stream's errors into errors of the file, with the progress."""
        try:
            yield
        except ReadTimeout as exc:
            seconds = self.connection.stream.read_timeout
            raise TimedOut(f"{self._where}: no data for {seconds:g} s, {self._progress()}") from exc
        except ConnectionClosed as exc:
            raise Incomplete(f"{self._where}: the connection was cut {self._progress()}") from exc

    def _longer(self) -> Changed:
        return Changed(f"{self._where}: the file is longer than before, {self._progress()}")

    def _progress(self) -> str:
        if self.size is None:
            return f"at {human_bytes(self.position)}"
        return f"at {human_bytes(self.position)} of {human_bytes(self.size)}"

    def _too_large(self, size: int | None) -> TooLarge:
        limit = human_bytes(self._max_bytes)
        if size is None:
            return TooLarge(f"{self._where}: the file is larger than {limit} (MAX_BYTES)")
        return TooLarge(f"{self._where}: the file has {human_bytes(size)}; the limit is {limit} (MAX_BYTES)")
