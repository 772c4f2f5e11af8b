"""Records the evidence of a version while a file is read: its first bytes, its last ones, and a spot between them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from msgspec.structs import replace

from urlsum.origin.version.version import MD5_BLOCK_BYTES, OPENING_BYTES, RESUME_OVERLAP_BYTES, Overlap, Sample

if TYPE_CHECKING:
    from urlsum.origin.version.version import Version

# The tail, which ends on a block boundary, and the bytes between that boundary and the position.
KEPT_BYTES = RESUME_OVERLAP_BYTES + MD5_BLOCK_BYTES
# A change is found by where it is, not by how much of it is read: as much as the overlap of two parts.
SPOT_BYTES = 16_384


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

    def tail(self, position: int, most: int = RESUME_OVERLAP_BYTES) -> Overlap | None:
        """The tail of the bytes recorded up to ``position``, at most ``most``; None for less than one block."""
        end = position - position % MD5_BLOCK_BYTES
        stop = len(self._buffer) - (position - end)
        length = min(RESUME_OVERLAP_BYTES, most, stop)
        if length <= 0:
            return None
        with memoryview(self._buffer) as kept, kept[stop - length : stop] as part:
            return Overlap.of(part, end)

    def last(self, position: int, length: int) -> Overlap:
        """The last ``length`` bytes recorded, or as many as there are, which end at ``position``."""
        length = min(length, len(self._buffer))
        with memoryview(self._buffer) as kept, kept[len(kept) - length :] as part:
            return Overlap.of(part, position)

    def last_bytes(self, position: int, length: int) -> Sample:
        """The same as the bytes themselves."""
        length = min(length, len(self._buffer))
        return Sample(position, bytes(self._buffer[len(self._buffer) - length :]))

    def ends_with(self, overlap: Overlap) -> bool:
        """Whether the last bytes recorded are those of ``overlap``."""
        with memoryview(self._buffer) as kept, kept[len(kept) - overlap.length :] as part:
            return overlap.matches(part)


class SpotRecorder:
    """Records SPOT_BYTES at a random place between ``first`` and ``end``, outside the other samples, if there is one.

    Builds of disk images differ in the middle alone, with equal ends, length and date. A place that nobody can predict
    finds a change of a tenth of the file once in ten times, and no origin can prepare for it.
    """

    def __init__(self, first: int, end: int | None) -> None:
        first = max(first, OPENING_BYTES)
        last = first if end is None else end - RESUME_OVERLAP_BYTES - SPOT_BYTES
        self._start = first + secrets.randbelow(last - first) if last > first else None
        self._bytes = bytearray()

    def record(self, view: memoryview, end: int) -> None:
        """Take what belongs to the spot from ``view``, which ends at position ``end``."""
        if self._start is None or end <= self._start:
            return
        missing = SPOT_BYTES - len(self._bytes)
        if missing:
            at = max(self._start + len(self._bytes) - (end - len(view)), 0)
            self._bytes += view[at : at + missing]

    @property
    def overlap(self) -> Overlap | None:
        """The sample; None if it is not complete."""
        if self._start is None or len(self._bytes) < SPOT_BYTES:
            return None
        return Overlap.of(bytes(self._bytes), self._start + SPOT_BYTES)


class Evidence:
    """The version of a download, and samples of the bytes read so far: the opening, a spot and the tail.

    The spot lies between ``first`` and ``end``, the stretch of the file that this download reads.
    """

    def __init__(self, version: Version, *, first: int = 0, end: int | None = None) -> None:
        self.version = version
        self.tail = TailRecorder()
        self._spot = SpotRecorder(first, end)
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
        self._spot.record(view, end)
        if self.version.opening is None and end - len(view) == len(self._opening):
            self._opening += view[: OPENING_BYTES - len(self._opening)]

    def sampled(self, size: int | None) -> Version:
        """The version of a file of ``size`` bytes, with the sample of its opening."""
        return replace(self.version, size=size, opening=self._opening_overlap)

    def samples(self, position: int) -> list[Overlap | Sample]:
        """The opening and the tail of a file that ends at ``position``; only the tail where that is all of it."""
        tail = self.tail.last_bytes(position, RESUME_OVERLAP_BYTES)
        opening: Overlap | Sample | None = self.version.opening
        if opening is None and self._opening:
            opening = Sample(len(self._opening), self.opening)
        # The opening first, because a range of the beginning cannot come from another position.
        return [opening, tail] if opening is not None and tail.start > 0 else [tail]

    def fingerprint(self, size: int) -> str:
        """The version of the whole file of ``size`` bytes, with all samples: enough to recognize it later."""
        tail = self.tail.last(size, RESUME_OVERLAP_BYTES)
        return replace(self.sampled(size), tail=tail, spot=self._spot.overlap).dump()

    def checkpoint(self, position: int, size: int | None, most: int = RESUME_OVERLAP_BYTES) -> str:
        """The proof of version for a checkpoint at ``position``, with a tail of at most ``most`` bytes."""
        return replace(self.sampled(size), tail=self.tail.tail(position, most)).dump()

    @property
    def _opening_overlap(self) -> Overlap | None:
        count = len(self._opening)
        proven = self.version.opening
        return proven if proven or not count else Overlap.of(self.opening, count)
