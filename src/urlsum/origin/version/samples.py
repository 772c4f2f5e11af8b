"""Compares samples of a file, its opening and its tail, with the bytes that a later response has there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.origin.http11.stream import Block
from urlsum.origin.tuning import BLOCK_BYTES
from urlsum.origin.version.parts import read_across_parts

if TYPE_CHECKING:
    from urlsum.origin.http11.body import ResponseBody
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.version import Overlap, Version

# Without ranges, a file up to this length is re-read for its tail: that much is in flight before a connection could be
# closed.
REREAD_BYTES = BLOCK_BYTES


def matches_samples(
    file: FileClient, body: ResponseBody, version: Version, samples: list[Overlap], *, up_to_tail: bool
) -> bool:
    """Whether ``body``, which begins at the first byte of the file, has the bytes of the samples, as far as it is read.

    Reads a file longer than REREAD_BYTES up to its tail only with ``up_to_tail``. Raises Changed, other OriginErrors,
    DeadlineReached.
    """
    end = max(sample.end for sample in samples)
    if end > REREAD_BYTES:
        first_to_last = sorted(samples, key=lambda sample: sample.end)
        compared = [sample for sample in first_to_last if up_to_tail or sample.start == 0]
        if not all(read_sample(file, body, version, sample) for sample in compared):
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


def read_sample(file: FileClient, body: ResponseBody, version: Version, sample: Overlap) -> ResponseBody | None:
    """Read up to the end of ``sample``; the response that continues there, None if the bytes differ.

    Raises Changed, other OriginErrors, DeadlineReached.
    """
    body, received = read_across_parts(file, body, version, sample.start, sample.end)
    if sample.matches(received):
        return body
    body.connection.close()
    return None
