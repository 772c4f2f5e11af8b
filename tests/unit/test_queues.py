"""Which tasks have no message, by a list of the messages or by their number."""

from __future__ import annotations

import pytest

from urlsum.queues import HeldCount, HeldTasks
from urlsum.tables import Overdue


def waiting(count: int) -> list[Overdue]:
    """Tasks that wait; every third is a continuation."""
    return [Overdue(str(n), float(n), 0.0, continued=n % 3 == 2) for n in range(count)]


def nothing() -> float:
    return 0.0


def test_a_list_says_it_exactly() -> None:
    assert HeldTasks(frozenset("134")).missing(waiting(6)) == ["0", "2", "5"]


@pytest.mark.parametrize(
    ("first", "continued", "missing"),
    [
        (4, 2, []),
        (9, 9, []),  # tasks that are not overdue have messages, too
        (3, 2, ["0"]),
        (4, 0, ["2", "5"]),
        (0, 0, ["0", "1", "3", "4", "2", "5"]),
        (6, None, []),
        (4, None, ["0", "1"]),
    ],
)
def test_a_number_says_how_many_and_those_that_wait_longest_are_taken(
    first: int, continued: int | None, missing: list[str]
) -> None:
    assert HeldCount(first, continued, fraction=nothing).missing(waiting(6)) == missing


def test_a_share_is_taken_although_no_message_seems_to_be_missing() -> None:
    assert HeldCount(99, share=0.01, fraction=nothing).missing(waiting(99)) == []
    assert HeldCount(100, share=0.01, fraction=nothing).missing(waiting(100)) == ["0"]
    # Of few tasks a part of one, on average.
    taken = [HeldCount(50, share=0.01, fraction=lambda n=n: n / 10).missing(waiting(50)) for n in range(10)]  # type: ignore[misc]
    assert sum(map(len, taken)) == 5
    assert HeldCount(0, share=0.01, fraction=lambda: 0.999).missing([]) == []
