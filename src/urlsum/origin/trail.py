"""The last bytes before a position, kept for the proof of version while buffers come and go."""

from __future__ import annotations

from urlsum.origin.version import BLOCK_BYTES, TAIL_BYTES, Tail, digest

# The tail, and what lies between its end, on a block boundary, and the position.
KEPT_BYTES = TAIL_BYTES + BLOCK_BYTES


class Trail:
    """Follows a stream of views, in order, and keeps the end of it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def follow(self, view: memoryview) -> None:
        """Keep what ``view`` adds."""
        if len(view) >= KEPT_BYTES:
            self._buffer[:] = view[-KEPT_BYTES:]
            return
        excess = len(self._buffer) + len(view) - KEPT_BYTES
        if excess > 0:
            del self._buffer[:excess]
        self._buffer += view

    def tail(self, position: int) -> Tail | None:
        """The tail of what was followed up to ``position``; None when that is less than one block."""
        end = position - position % BLOCK_BYTES
        stop = len(self._buffer) - (position - end)
        length = min(TAIL_BYTES, stop)
        if length <= 0:
            return None
        with memoryview(self._buffer) as kept, kept[stop - length : stop] as part:
            return Tail(end, length, digest(part))

    def last(self, position: int, length: int) -> Tail:
        """The last ``length`` bytes that were followed, which end at ``position``; fewer where there are fewer."""
        length = min(length, len(self._buffer))
        with memoryview(self._buffer) as kept, kept[len(kept) - length :] as part:
            return Tail(position, length, digest(part))

    def ends_with(self, tail: Tail) -> bool:
        """Whether the last bytes that were followed are those that ``tail`` was made from."""
        with memoryview(self._buffer) as kept, kept[len(kept) - tail.length :] as part:
            return digest(part) == tail.digest
