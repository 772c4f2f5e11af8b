"""Compares samples of a file, its opening and its tail, with the bytes that a later response has there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.origin.http11.stream import Block
from urlsum.origin.tuning import BLOCK_BYTES
from urlsum.origin.version.parts import read_across_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap, Sample, Version

# Without ranges, a file up to this length is re-read for its tail: that much is in flight before a connection could be
# closed.
REREAD_BYTES = BLOCK_BYTES


def matches_samples(
    file: FileClient, body: ResponseBody, version: Version, samples: Sequence[Overlap | Sample], *, up_to_tail: bool
) -> bool:
    """Whether ``body``, which begins at the first byte of the file, has the bytes of the samples, as far as it is read.

    Reads a file longer than REREAD_BYTES up to its tail only with ``up_to_tail``. Raises Changed, other OriginErrors,
    DeadlineReached.
    """
    end = max(sample.end for sample in samples)
    if end > REREAD_BYTES:
        first_to_last = sorted(samples, key=lambda sample: sample.end)
        compared = [sample for sample in first_to_last if up_to_tail or sample.start == 0]
        if not all(read_samples(file, body, version, [sample]) for sample in compared):
            return False
        if up_to_tail:
            body.fill(Block(memoryview(bytearray(1))))  # a chunked body proves its length only at its end
        return True
    # In one piece, because the samples of a short file overlap.
    received = memoryview(bytearray(end))
    body.read_up_to(end, received, file.heartbeat)
    # A chunked body proves its length only at its end.
    body.fill(Block(memoryview(bytearray(1))))
    return all(sample.matches(received[sample.start : sample.end]) for sample in samples)


def read_samples(
    file: FileClient, body: ResponseBody, version: Version, samples: Sequence[Overlap | Sample]
) -> ResponseBody | None:
    """Read ``samples`` in one stretch; the response that continues at its end, None if the bytes differ.

    Raises Changed, other OriginErrors, DeadlineReached.
    """
    start, end = stretch(samples)
    body, received = read_across_parts(file, body, version, start, end)
    if all(sample.matches(received[sample.start - start : sample.end - start]) for sample in samples):
        return body
    body.connection.close()
    return None


def stretch(samples: Sequence[Overlap | Sample]) -> tuple[int, int]:
    """The positions from the first byte of ``samples`` up to, but not including, the byte after the last."""
    return min(sample.start for sample in samples), max(sample.end for sample in samples)
