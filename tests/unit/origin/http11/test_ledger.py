"""The ledger of one origin: who is alive, and what each process should have."""

from __future__ import annotations

import pytest

from urlsum.origin.http11.ledger import DAY, MINUTE, Ledger, Party

NOW = 1_800_000_000.0
LIMIT = 8


def ledger(**parties: tuple[int, int, int, float]) -> Ledger:
    """A ledger of processes: places, needs of first and further connections, seconds since when."""
    return Ledger(
        {
            name: Party(places, first, more, NOW - since, NOW + 9)
            for name, (places, first, more, since) in parties.items()
        }
    )


def test_a_ledger_survives_its_text() -> None:
    before = ledger(a=(3, 1, 2, 5), b=(0, 1, 0, 1))
    before.minute, before.requests, before.day, before.received = int(NOW // MINUTE), 7, int(NOW // DAY), 2**40
    assert Ledger.load(before.dump(), NOW, skew=5) == before


def test_counts_end_with_their_minute_and_day() -> None:
    before = Ledger(minute=int(NOW // MINUTE), requests=7, day=int(NOW // DAY), received=9)
    later = Ledger.load(before.dump(), NOW + MINUTE, skew=5)
    assert (later.requests, later.received) == (0, 9)
    assert Ledger.load(before.dump(), NOW + DAY, skew=5).received == 0


def test_the_dead_are_dropped_once_their_clock_must_agree() -> None:
    text = ledger(a=(8, 8, 0, 60)).dump()
    assert Ledger.load(text, NOW + 9 + 4.9, skew=5).free(LIMIT) == 0
    assert Ledger.load(text, NOW + 9 + 5.1, skew=5).free(LIMIT) == LIMIT


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", '{"parties": {"a": [1]}}', '{"parties": 3}', "7"])
def test_what_is_no_ledger_is_an_empty_one(text: str | None) -> None:
    assert Ledger.load(text, NOW, skew=5).free(LIMIT) == LIMIT


@pytest.mark.parametrize(
    ("parties", "shares"),
    [
        ({"a": (0, 8, 0, 0)}, {"a": 8}),
        ({"a": (8, 8, 0, 9), "b": (0, 8, 0, 0)}, {"a": 4, "b": 4}),
        ({"a": (7, 7, 0, 9), "b": (1, 1, 0, 0)}, {"a": 7, "b": 1}),
        # First connections come before further ones, of whatever process.
        ({"a": (8, 1, 7, 9), "b": (0, 5, 0, 0)}, {"a": 3, "b": 5}),
        ({"a": (8, 1, 7, 9), "b": (0, 1, 7, 0)}, {"a": 4, "b": 4}),
        ({"a": (2, 0, 0, 9)}, {"a": 0}),
    ],
)
def test_whoever_has_fewest_gets_the_next_place(
    parties: dict[str, tuple[int, int, int, float]], shares: dict[str, int]
) -> None:
    shared = ledger(**parties)
    assert {name: shared.share(name, LIMIT) for name in parties} == shares


def test_where_places_are_fewer_than_processes_they_go_round() -> None:
    shared = ledger(longest=(1, 1, 0, 9), newest=(1, 1, 0, 1), waits=(0, 1, 0, 2))
    assert [shared.share(name, 2) for name in ("waits", "newest", "longest")] == [1, 1, 0]
    assert shared.owed("longest", 2) == 1
    assert shared.owed("newest", 2) == 0


def test_nobody_gives_back_what_nobody_needs() -> None:
    assert ledger(a=(6, 1, 0, 9), b=(1, 1, 0, 9)).owed("a", LIMIT) == 0
    assert ledger(a=(6, 1, 0, 9), b=(1, 3, 0, 9)).owed("a", LIMIT) == 1
    assert ledger(a=(6, 1, 0, 9), b=(1, 9, 0, 9)).owed("a", LIMIT) == 5
