"""The order in which the files of a list begin, and what a failure leaves."""

from __future__ import annotations

import threading

import pytest

from urlsum.cli.interrupt import Stop
from urlsum.cli.pool import Pool, Schedule


def never() -> bool:
    return False


def test_an_origin_with_all_places_taken_does_not_hold_up_another() -> None:
    schedule = Schedule(["a", "a", "a", "b"], places=2)
    taken = [schedule.take(is_cancelled=never) for _ in range(3)]
    assert taken == [0, 1, 3]
    schedule.done(0)
    assert schedule.take(is_cancelled=never) == 2
    assert schedule.take(is_cancelled=never) is None


def test_a_place_is_waited_for() -> None:
    schedule = Schedule(["a", "a"], places=1)
    assert schedule.take(is_cancelled=never) == 0
    threading.Timer(0.05, schedule.done, [0]).start()
    assert schedule.take(is_cancelled=never) == 1


def test_nothing_begins_after_the_end() -> None:
    schedule = Schedule(["a", "a"], places=1)
    assert schedule.take(is_cancelled=never) == 0
    schedule.end()
    assert schedule.take(is_cancelled=never) is None
    assert Schedule(["a"], places=1).take(is_cancelled=lambda: True) is None


def test_an_error_is_raised_in_the_thread_of_the_caller_and_ends_the_others() -> None:
    halted, begun = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert begun.wait(10)
            raise ValueError("zero")
        begun.set()
        halted.wait(10)
        return item

    items = list(range(10))
    pool: Pool[int, int] = Pool(
        work, items, Schedule(items, 1), at_once=2, stop=Stop(), halt=halted.set, abort=lambda: None
    )
    with pytest.raises(ValueError, match="zero"):
        list(pool.results())
    assert halted.is_set()
