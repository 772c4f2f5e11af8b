"""Records the evidence of a version while a file is read: its first bytes and its last ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from urlsum.origin.version.version import MD5_BLOCK_BYTES, OPENING_BYTES, RESUME_OVERLAP_BYTES, Overlap

if TYPE_CHECKING:
    from urlsum.origin.version.version import Version

# The tail, which ends on a block boundary, and the bytes between that boundary and the position.
KEPT_BYTES = RESUME_OVERLAP_BYTES + MD5_BLOCK_BYTES


class TailRecorder:
    """Records a stream of views, in order, and keeps its last KEPT_BYTES."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def record(self, view: memoryview) -> None:
        """Append ``view``."""
        if len(view) >= KEPT_BYTES:
            self._buffer[:] = view[-KEPT_BYTES:]
            return
        excess = len(self._buffer) + len(view) - KEPT_BYTES
        if excess > 0:
            del self._buffer[:excess]
        self._buffer += view

    def tail(self, position: int) -> Overlap | None:
        """The tail of the bytes recorded up to ``position``; None for less than one block."""
        end = position - position % MD5_BLOCK_BYTES
        stop = len(self._buffer) - (position - end)
        length = min(RESUME_OVERLAP_BYTES, stop)
        if length <= 0:
            return None
        with memoryview(self._buffer) as kept, kept[stop - length : stop] as part:
            return Overlap.of(part, end)

    def last(self, position: int, length: int) -> Overlap:
        """The last ``length`` bytes recorded, or as many as there are, which end at ``position``."""
        length = min(length, len(self._buffer))
        with memoryview(self._buffer) as kept, kept[len(kept) - length :] as part:
            return Overlap.of(part, position)

    def ends_with(self, overlap: Overlap) -> bool:
        """Whether the last bytes recorded are those of ``overlap``."""
        with memoryview(self._buffer) as kept, kept[len(kept) - overlap.length :] as part:
            return overlap.matches(part)


class Evidence:
    """The version of a download, and samples of the bytes read so far: the opening and the tail."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.tail = TailRecorder()
        self._opening = bytearray()

    @property
    def opening(self) -> bytes:
        """The first bytes of the file, at most OPENING_BYTES; empty for a download from a checkpoint."""
        return bytes(self._opening)

    def begin(self, version: Version, overlap: bytes) -> None:
        """Continue with a response of ``version``, whose next byte follows ``overlap``."""
        self.version = version
        self.tail.record(memoryview(overlap))

    def record(self, view: memoryview, end: int) -> None:
        """Append ``view``, which ends at position ``end``."""
        self.tail.record(view)
        if self.version.opening is None and end - len(view) == len(self._opening):
            self._opening += view[: OPENING_BYTES - len(self._opening)]
            if len(self._opening) == OPENING_BYTES:
                self.version = replace(self.version, opening=self._opening_overlap)

    def sampled(self, size: int | None) -> Version:
        """The version of a file of ``size`` bytes, with the sample of its opening."""
        return replace(self.version, size=size, opening=self._opening_overlap)

    def checkpoint(self, position: int, size: int | None) -> str:
        """The proof of version for a checkpoint at ``position``."""
        return replace(self.sampled(size), tail=self.tail.tail(position)).dump()

    @property
    def _opening_overlap(self) -> Overlap | None:
        count = len(self._opening)
        proven = self.version.opening
        return proven if proven or not count else Overlap.of(self.opening, count)
