"""Which slices hand over when others wait, and what a free slot takes next."""

from __future__ import annotations

import pytest

from tests.support.origin.synthetic import Clock
from tests.support.stores.memory import MemoryQueue
from urlsum.queues import Order, Waiting
from urlsum.worker.turns import FIRST_SECONDS, LONG_QUEUE_SHARE, PATIENCE_TURNS, Turn, Turns, share

SECONDS = 10.0
SHORT = SECONDS * LONG_QUEUE_SHARE


class CountingQueue(MemoryQueue):
    """Tells what a test wants it to tell."""

    def __init__(self, first: int = 0, continued: int = 0) -> None:
        super().__init__()
        self.waits = Waiting(first, continued)
        self.asked: list[float] = []

    def count_waiting(self, patience: float) -> Waiting:
        self.asked.append(patience)
        return self.waits


class Setup:
    def __init__(self, slots: int | None = 8) -> None:
        self.clock = Clock()
        self.turns = Turns(SECONDS, self.clock, slots=slots)

    def begin(self, count: int, *, continued: bool, ago: float = 0.0) -> list[Turn]:
        """Turns that began so many seconds ago."""
        self.clock.now -= ago
        begun = [self.turns.begin(continued=continued) for _ in range(count)]
        self.clock.now += ago
        return begun

    def over(self, turns: list[Turn]) -> list[bool]:
        return [turn.over(self.clock()) for turn in turns]


def test_a_turn_without_end_is_never_over() -> None:
    assert not Turn().over(1e12)


def test_nobody_hands_over_while_nobody_waits_and_no_slot_is_missing() -> None:
    setup = Setup()
    running = setup.begin(6, continued=True, ago=1000)
    setup.turns.look(CountingQueue())
    assert not any(setup.over(running))


def test_as_many_hand_over_as_first_slices_wait_the_longest_running_first() -> None:
    setup = Setup()
    long, longer = (setup.begin(1, continued=True, ago=ago)[0] for ago in (SECONDS, SECONDS + 5))
    setup.turns.look(CountingQueue(first=1))
    assert setup.over([long, longer]) == [False, True]


def test_what_was_asked_to_hand_over_and_cannot_does_not_shield_the_others() -> None:
    setup = Setup()
    turns = [setup.begin(1, continued=True, ago=SECONDS + n)[0] for n in range(3)]
    for _ in range(2):
        setup.turns.look(CountingQueue(first=1))
    assert setup.over(turns) == [False, True, True]


@pytest.mark.parametrize(("continued", "whole"), [(False, FIRST_SECONDS), (True, SECONDS)])
def test_a_first_slice_has_a_shorter_turn_than_a_continuation(continued: bool, whole: float) -> None:
    setup = Setup()
    young = setup.begin(1, continued=continued, ago=whole - 0.1)
    old = setup.begin(1, continued=continued, ago=whole)
    setup.turns.look(CountingQueue(first=5))
    assert setup.over(young + old) == [False, True]


def test_the_next_first_slices_have_their_short_turn_by_the_clock_while_others_wait() -> None:
    setup = Setup()
    queue = CountingQueue(first=5)
    setup.begin(1, continued=False, ago=FIRST_SECONDS)
    setup.turns.look(queue)
    [turn] = setup.begin(1, continued=False)
    setup.clock.now += FIRST_SECONDS
    assert turn.over(setup.clock())
    queue.waits = Waiting()
    setup.turns.look(queue)
    [later] = setup.begin(1, continued=False)
    setup.clock.now += FIRST_SECONDS
    assert not later.over(setup.clock())


def test_turns_are_shorter_when_continuations_have_waited_for_many_turns() -> None:
    setup = Setup()
    young = setup.begin(1, continued=True, ago=SHORT - 0.1)
    old = setup.begin(2, continued=True, ago=SHORT)
    queue = CountingQueue(continued=5)
    setup.turns.look(queue)
    assert setup.over(young + old) == [False, True, True]
    assert queue.asked == [SECONDS * PATIENCE_TURNS]
    [turn] = setup.begin(1, continued=True)
    setup.clock.now += SHORT
    assert turn.over(setup.clock())


def test_the_queue_is_asked_only_when_a_turn_could_be_over() -> None:
    setup = Setup()
    queue = CountingQueue(first=1)
    setup.turns.look(queue)
    setup.begin(3, continued=True, ago=SHORT - 0.1)
    setup.begin(3, continued=False, ago=FIRST_SECONDS - 0.1)
    setup.turns.look(queue)
    assert queue.asked == []
    setup.turns.look(queue, always=True)
    assert len(queue.asked) == 1


def test_a_slice_that_has_ended_needs_no_turn() -> None:
    setup = Setup()
    [ended], [running] = (setup.begin(1, continued=True, ago=ago) for ago in (SECONDS + 5, SECONDS))
    setup.turns.end(ended)
    setup.turns.look(CountingQueue(first=1))
    assert setup.over([ended, running]) == [False, True]


@pytest.mark.parametrize(("slots", "kept"), [(1, 1), (2, 1), (7, 1), (8, 2), (16, 4)])
def test_a_quarter_of_the_slots_is_kept(slots: int, kept: int) -> None:
    assert share(slots) == kept


@pytest.mark.parametrize(
    ("slots", "continued", "long", "order"),
    [
        (8, 0, 0, Order.CONTINUED),
        (8, 1, 7, Order.FIRST_ONLY),
        (8, 1, 0, Order.CONTINUED),
        (8, 2, 0, Order.FIRST),
        (8, 5, 0, Order.FIRST),
        (8, 6, 0, Order.FIRST_ONLY),
        (8, 4, 2, Order.FIRST_ONLY),
        (2, 0, 0, Order.CONTINUED),
        (2, 1, 0, Order.FIRST_ONLY),
        (1, 0, 0, Order.FIRST),
        (None, 5, 5, Order.FIRST),
    ],
)
def test_a_free_slot_takes_what_has_less_than_its_share(
    slots: int | None, continued: int, long: int, order: Order
) -> None:
    setup = Setup(slots)
    setup.begin(continued, continued=True)
    setup.begin(long, continued=False, ago=SECONDS)
    setup.begin(2, continued=False)  # these hold their slots for a moment only
    assert setup.turns.order is order


def test_first_slices_that_outlast_a_turn_clear_the_slots_that_are_kept() -> None:
    setup = Setup()
    continued = setup.begin(4, continued=True, ago=100)
    lasting = [setup.begin(1, continued=False, ago=SECONDS + n)[0] for n in (3, 2, 1)]
    setup.turns.look(CountingQueue())
    assert setup.over(continued) == [False] * 4
    assert setup.over(lasting) == [False, False, True]  # the one that came last
