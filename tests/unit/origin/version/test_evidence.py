from __future__ import annotations

import random

import pytest

from urlsum.origin.version.evidence import SPOT_BYTES, SpotRecorder
from urlsum.origin.version.version import OPENING_BYTES, RESUME_OVERLAP_BYTES, Overlap

CONTENT = random.Random(3).randbytes(OPENING_BYTES + RESUME_OVERLAP_BYTES + 10 * SPOT_BYTES)
LAST = len(CONTENT) - RESUME_OVERLAP_BYTES - SPOT_BYTES


def recorded(first: int, pieces: int, rng: random.Random) -> Overlap | None:
    """The spot of a download from ``first`` on that comes in random pieces."""
    spot = SpotRecorder(first, len(CONTENT))
    cuts = sorted(rng.sample(range(first + 1, len(CONTENT)), pieces - 1))
    for start, end in zip([first, *cuts], [*cuts, len(CONTENT)], strict=True):
        spot.record(memoryview(CONTENT)[start:end], end)
    return spot.overlap


@pytest.mark.parametrize("pieces", [1, 2, 7, 500])
@pytest.mark.parametrize("first", [0, 64, OPENING_BYTES + 64, LAST - 20])
def test_the_spot_is_what_the_file_has_there(first: int, pieces: int) -> None:
    rng = random.Random(pieces)
    places = set()
    for _ in range(20):
        overlap = recorded(first, pieces, rng)
        assert overlap is not None
        assert max(first, OPENING_BYTES) <= overlap.start < LAST
        assert overlap == Overlap.of(CONTENT[overlap.start : overlap.end], overlap.end)
        assert overlap.length == SPOT_BYTES
        places.add(overlap.start)
    assert len(places) > 5


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, None), (0, 0), (0, 100), (0, OPENING_BYTES + SPOT_BYTES + RESUME_OVERLAP_BYTES), (LAST, len(CONTENT))],
)
def test_no_spot_is_taken_where_there_is_no_choice(first: int, end: int | None) -> None:
    spot = SpotRecorder(first, end)
    spot.record(memoryview(CONTENT)[first:], len(CONTENT))
    assert spot.overlap is None


def test_a_spot_that_is_not_complete_is_none() -> None:
    spot = SpotRecorder(0, len(CONTENT))
    end = OPENING_BYTES + SPOT_BYTES - 1
    spot.record(memoryview(CONTENT)[:end], end)
    assert spot.overlap is None
