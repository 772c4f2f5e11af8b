"""The body of one file: its bytes in order, in bounded memory, and an end only where one is proven."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from urlsum.errors import DeadlineReached, OriginError
from urlsum.origin.buffers import BLOCK_BYTES, Block
from urlsum.origin.overlap import Overlap, cpus
from urlsum.origin.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.answer import Answer
    from urlsum.origin.idle import Idle
    from urlsum.origin.prefetch import Prefetch
    from urlsum.origin.version import Tail, Version

# Up to here the bytes are received by whoever reads them: the first megabyte is there before a thread would have
# started, and most files end within it.
INLINE_BYTES = BLOCK_BYTES


class Body:
    """The bytes of one version of one file, from ``offset`` on. Also a context manager that closes it.

    ``size`` is the total length of the file once its framing proves it: at once with a length, at the end with
    chunks. ``ahead`` makes what reads ahead of a long file; None where nothing may.
    """

    def __init__(
        self, answer: Answer, version: Version, idle: Idle, *, ahead: Callable[[Answer], Prefetch] | None
    ) -> None:
        self.offset = answer.position
        self._answer = answer
        self._version = version
        self._idle = idle
        self._ahead = ahead
        self._prefetch: Prefetch | None = None
        self._overlap: Overlap | None = None  # of a file that is long enough to ask
        self._position = self._answer_began = answer.position
        self._trail = Trail()
        self._view = memoryview(b"")
        self._rest = memoryview(b"")  # fetched, but more than was wanted
        self._buffer = memoryview(b"")
        self._trouble: Exception | None = None  # what came behind the bytes that were read last
        self._ended = False

    @property
    def size(self) -> int | None:
        """The total length of the file, None until it is proven."""
        return self._prefetch.size if self._prefetch else self._answer.size

    @property
    def reread(self) -> int:
        """How many bytes before ``offset`` were read, to prove the version or for want of ranges."""
        return self.offset - self._answer_began

    @property
    def connections(self) -> int:
        """How many connections bring the file just now."""
        return self._prefetch.connections if self._prefetch else 1

    @property
    def validator(self) -> str:
        """The proof of version as of the bytes read so far, for the next checkpoint."""
        self._let_go()
        return replace(self._version, size=self.size, tail=self._trail.tail(self._position)).dump()

    def read(self) -> memoryview:
        """The next bytes, valid until the next call; empty only at the proven end of the file.

        Raises Incomplete, TimedOut, TooLarge, Changed, ProtocolViolated, DeadlineReached.
        """
        return self._read(BLOCK_BYTES)

    def skip_to(self, position: int) -> None:
        """Read and drop everything before ``position``. Raises Changed when the file ends before it."""
        while self._position < position:
            if not self._read(min(position - self._position, BLOCK_BYTES)):
                raise self._answer.shorter()
        self.offset = self._position

    def proves(self, tail: Tail) -> bool:
        """Read up to the end of ``tail``; whether the bytes there are those of the version it was made from."""
        self.skip_to(tail.end)
        self._let_go()
        return self._trail.ends_with(tail)

    def close(self) -> None:
        """Let go of the connections; a second time does nothing."""
        if self._prefetch is not None:
            self._prefetch.close()
        elif self._ended:
            self._idle.give(self._answer.connection)
        else:
            self._answer.connection.close()
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, most: int) -> memoryview:
        self._let_go()
        if self._trouble is not None:
            raise self._trouble
        if self._prefetch is None and self._ahead is not None and self._far and self._overlaps():
            self._prefetch = self._ahead(self._answer)
            self._buffer = memoryview(b"")
        view = self._fetched(most) if self._prefetch else self._received(most)
        self._position += len(view)
        self._view = view
        return view

    @property
    def _far(self) -> bool:
        left = None if self._answer.size is None else self._answer.size - self._position
        return self._position - self._answer_began >= INLINE_BYTES and (left is None or left > INLINE_BYTES)

    def _overlaps(self) -> bool:
        if self._overlap is None:
            self._overlap = Overlap(cpus())
        return self._overlap.pays()

    def _fetched(self, most: int) -> memoryview:
        view = self._rest
        if not view:
            view = self._prefetch.read()  # type: ignore[union-attr] # there is one, as was just seen
            lead = self._prefetch.lead  # type: ignore[union-attr] # the same
            if lead is not None and not self._trail.ends_with(lead):
                raise self._answer.torn(lead.end)
        self._rest = view[most:]
        return view[:most]

    def _received(self, most: int) -> memoryview:
        left = None if self._answer.size is None else self._answer.size - self._position
        # One byte more, so that an origin which sends too much is found out; and never none, which would be the end.
        wanted = min(most, BLOCK_BYTES if left is None else left + 1)
        if len(self._buffer) < wanted:
            self._buffer = memoryview(bytearray(wanted))
        block = Block(self._buffer[:wanted])
        try:
            while not block.filled and not self._ended:
                self._ended = not self._answer.fill(block)
        except (OriginError, DeadlineReached) as exc:
            if not block.filled:
                raise
            self._trouble = exc
        return block.view[: block.filled]

    def _let_go(self) -> None:
        """Note the end of what was handed out last, before its buffer is used again."""
        self._trail.follow(self._view)
        self._view = memoryview(b"")
