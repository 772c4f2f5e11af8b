"""The rule of how many connections, under a clock that is told the time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from urlsum.origin.parallel.concurrency import (
    CLIMB_SECONDS,
    FIRST_PAUSE_SECONDS,
    HURRY_SECONDS,
    IDLE_SHARE,
    MEASURE_SECONDS,
    SOON_SECONDS,
    ConcurrencyController,
)
from urlsum.origin.parallel.prefetch import CLIMB_POLL_SECONDS

TICK = 0.05
Line = Callable[[int, float], float]
"""Bytes per second of a number of connections at a given time."""


class SimulatedTransfer:
    """A controller on a simulated line; ``history`` has each change of the number of connections and its time.

    The reader consumes at most ``reads`` bytes per second. It waits for the share ``idle`` of the remaining time.
    """

    def __init__(
        self,
        line: Line,
        *,
        most: int = 8,
        latency: float = 0.001,
        idle: float = 0.9,
        reads: float = math.inf,
        tick: float = TICK,
    ) -> None:
        self.tick = tick
        self.line = line
        self.idle = idle
        self.reads = reads
        self.now = 100.0
        self.count = 0.0
        self.waited = 0.0
        self.controller = ConcurrencyController(most, latency=latency, now=self.now)
        self.history = [(0.0, 1)]

    def run(self, seconds: float) -> int:
        """Let time pass; return the number of connections at the end."""
        for _ in range(round(seconds / self.tick)):
            self.now += self.tick
            brought = self.line(self.controller.target, self.now - 100.0)
            self.count += min(brought, self.reads) * self.tick
            self.waited += self.idle * self.tick if brought < self.reads else 0.0
            target = self.controller.observe(self.now, int(self.count), self.waited)
            if target != self.history[-1][1]:
                self.history.append((self.now - 100.0, target))
        return self.controller.target

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.history]


def throttled(each: float) -> Line:
    return lambda connections, _: each * connections


def shared(total: float) -> Line:
    return lambda connections, _: total


def test_it_starts_with_one() -> None:
    assert ConcurrencyController(8, latency=0.1, now=0.0).target == 1


def test_an_origin_that_throttles_each_connection_is_read_with_all_within_a_second() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    assert transfer.run(1.0) == 8
    assert transfer.numbers == [1, 2, 4, 8]
    assert transfer.run(600) == 8


def test_the_climb_costs_an_eighth_of_a_second() -> None:
    transfer = SimulatedTransfer(throttled(20e6), tick=CLIMB_POLL_SECONDS)
    transfer.run(3.0)
    assert transfer.numbers == [1, 2, 4, 8]
    assert 3.0 - transfer.count / 160e6 < 0.125


@pytest.mark.parametrize(("gain", "seconds"), [(1.9, SOON_SECONDS), (1.6, CLIMB_SECONDS)])
def test_a_plain_gain_is_judged_sooner_than_a_clear_one(gain: float, seconds: float) -> None:
    transfer = SimulatedTransfer(lambda connections, _: 20e6 * gain ** math.log2(connections), tick=CLIMB_POLL_SECONDS)
    transfer.run(1.0)
    assert transfer.numbers == [1, 2, 4, 8]
    steps = [later - sooner for (sooner, _), (later, _) in pairwise(transfer.history[1:])]
    assert steps == pytest.approx([seconds, seconds], abs=1.5 * CLIMB_POLL_SECONDS)


@pytest.mark.parametrize("seed", range(50))
def test_noise_passes_for_no_clear_gain(seed: int) -> None:
    noise = random.Random(seed)
    transfer = SimulatedTransfer(lambda _, __: 100e6 * noise.uniform(0.3, 1.7), tick=CLIMB_POLL_SECONDS)
    transfer.run(MEASURE_SECONDS)
    assert transfer.numbers == [1, 2]


@pytest.mark.parametrize("idle", [0.02, 0.4])
def test_a_reader_that_waits_less_than_half_of_the_time_is_in_no_hurry(idle: float) -> None:
    transfer = SimulatedTransfer(throttled(400e6), idle=idle, tick=CLIMB_POLL_SECONDS)
    transfer.run(HURRY_SECONDS - 2 * CLIMB_POLL_SECONDS)
    assert transfer.controller.climbing
    assert transfer.numbers == [1]
    transfer.run(5 * CLIMB_POLL_SECONDS)
    assert not transfer.controller.climbing
    assert transfer.run(3) == (8 if idle > IDLE_SHARE else 1)


def test_a_reader_that_waits_later_is_hurried_until_then() -> None:
    """The origin hesitates for the time of two windows."""
    transfer = SimulatedTransfer(throttled(20e6), idle=0.1, tick=CLIMB_POLL_SECONDS)
    transfer.run(2 * SOON_SECONDS)
    transfer.idle = 1.0
    transfer.run(4 * SOON_SECONDS)
    assert transfer.numbers == [1, 2, 4, 8]


@pytest.mark.parametrize(("waited", "target"), [(0.008, 2), (0.003, 1)])
def test_waits_count_from_when_another_thread_receives(waited: float, target: int) -> None:
    """Before that the reader receives by itself, for most of the first window of a slow origin."""
    controller = ConcurrencyController(8, latency=0.0, now=100.0, received=1_000_000, waits_since=100.05)
    assert controller.observe(100.06, 200_000, waited) == target


def test_the_climb_is_over_with_all_connections_and_to_a_far_origin_there_is_none() -> None:
    transfer = SimulatedTransfer(throttled(20e6), tick=CLIMB_POLL_SECONDS)
    assert transfer.controller.climbing
    transfer.run(0.3)
    assert transfer.numbers == [1, 2, 4, 8]
    assert not transfer.controller.climbing
    assert not ConcurrencyController(8, latency=0.08, now=100.0).climbing
    assert not ConcurrencyController(1, latency=0.001, now=100.0).climbing


def test_what_came_before_the_first_look_counts() -> None:
    controller = ConcurrencyController(8, latency=0.001, now=100.0, received=1_000_000)
    assert controller.observe(100.03, 0, 0.0) == 1
    assert controller.observe(100.06, 200_000, 0.05) == 2
    assert controller.rate_per_connection == pytest.approx(20e6)


def test_a_small_gain_is_measured_longer_than_a_clear_one() -> None:
    transfer = SimulatedTransfer(lambda connections, _: 100e6 * (1.12 if connections > 1 else 1))
    transfer.run(5)
    assert transfer.numbers == [1, 2, 4, 2]
    (_, first), (second, _), (third, _), _ = transfer.history[:4]
    assert first == 1
    assert third - second >= MEASURE_SECONDS


def test_a_fast_origin_is_read_with_one_after_a_single_trial() -> None:
    transfer = SimulatedTransfer(shared(500e6))
    assert transfer.run(FIRST_PAUSE_SECONDS) == 1
    assert transfer.numbers == [1, 2, 1]


def test_a_line_that_two_fill_is_read_with_two() -> None:
    transfer = SimulatedTransfer(lambda connections, _: min(connections * 60e6, 120e6))
    assert transfer.run(5) == 2
    assert transfer.numbers == [1, 2, 4, 2]


def test_a_gain_of_a_tenth_is_kept_and_less_is_not() -> None:
    worth = SimulatedTransfer(lambda connections, _: 100e6 * (1.12 if connections > 1 else 1))
    assert worth.run(5) == 2
    not_worth = SimulatedTransfer(lambda connections, _: 100e6 * (1.08 if connections > 1 else 1))
    assert not_worth.run(5) == 1


def test_more_that_bring_less_are_taken_back() -> None:
    transfer = SimulatedTransfer(lambda connections, _: 100e6 / connections)
    assert transfer.run(5) == 1
    assert transfer.numbers == [1, 2, 1]


def test_no_trial_while_the_reader_is_the_bottleneck() -> None:
    transfer = SimulatedTransfer(throttled(700e6), idle=0.02)
    assert transfer.run(60) == 1
    assert transfer.numbers == [1]


def test_what_only_a_slow_start_made_worth_it_is_given_up_again() -> None:
    transfer = SimulatedTransfer(lambda _, now: 300e6 if now < 0.25 else 700e6, reads=600e6)
    assert transfer.run(5) == 4
    assert transfer.run(2 * FIRST_PAUSE_SECONDS) == 2
    assert transfer.run(600) == 1
    assert transfer.numbers == [1, 2, 4, 8, 4, 2, 1]


def test_as_many_as_the_reader_needs_are_kept_and_fewer_tried_ever_more_rarely() -> None:
    transfer = SimulatedTransfer(throttled(100e6), reads=600e6)
    transfer.run(3600)
    assert transfer.numbers[:5] == [1, 2, 4, 8, 4]
    assert set(transfer.numbers[5:]) == {4, 8}
    assert transfer.count >= 0.995 * 600e6 * 3600
    trials = [now for now, number in transfer.history[4:] if number == 4]
    assert all(later >= 1.9 * sooner for sooner, later in pairwise(b - a for a, b in pairwise(trials[:5])))


def test_to_a_far_origin_fewer_are_not_tried() -> None:
    transfer = SimulatedTransfer(throttled(100e6), latency=0.08, reads=600e6)
    assert transfer.run(3600) == 8
    assert transfer.numbers == [1, 8]


def test_the_number_never_exceeds_what_is_allowed() -> None:
    for most in (1, 2, 3, 5, 8, 64):
        transfer = SimulatedTransfer(throttled(1e6), most=most)
        assert transfer.run(5) == most
        assert max(transfer.numbers) == most


def test_over_a_long_line_new_connections_have_the_time_to_come_up_to_speed() -> None:
    latency, steps = 0.08, [(0.0, 0)]

    def line(connections: int, now: float) -> float:
        """Each connection doubles its rate every round trip, from 10 segments, up to 3 MB/s."""
        while len(steps) <= connections:
            steps.append((now, connections))
        grown = [14_600 / latency * 2 ** ((now - began) / latency - 2) for began, _ in steps[1 : connections + 1]]
        return sum(min(rate, 3e6) for rate in grown)

    transfer = SimulatedTransfer(line, latency=latency)
    assert transfer.run(4.0) == 8


def test_to_a_far_origin_it_is_one_step_to_all() -> None:
    transfer = SimulatedTransfer(throttled(20e6), latency=0.08)
    assert transfer.run(5) == 8
    assert transfer.numbers == [1, 8]


def test_a_step_that_brings_nothing_over_a_long_line_is_taken_back() -> None:
    transfer = SimulatedTransfer(shared(50e6), latency=0.08)
    assert transfer.run(10) == 1
    assert transfer.numbers == [1, 8, 1]


def test_over_a_long_line_a_step_may_begin_with_a_loss() -> None:
    begun: list[float] = []

    def line(connections: int, now: float) -> float:
        """Cut off for them, the first stream starts over, and for two seconds all together bring less than it did."""
        if connections > 1:
            begun.append(now)
        return 38e6 if connections == 1 else 100e6 if now - begun[0] > 2 else 20e6

    transfer = SimulatedTransfer(line, latency=0.08)
    assert transfer.run(10) == 8
    assert transfer.numbers == [1, 8]


def test_a_moment_of_silence_on_a_far_line_is_no_fall() -> None:
    transfer = SimulatedTransfer(lambda connections, now: 0.0 if 6 < now < 8 else 20e6 * connections, latency=0.08)
    assert transfer.run(20) == 8
    assert transfer.numbers == [1, 8]


def test_one_connection_that_falls_leads_to_the_next_trial_at_once() -> None:
    # Measured before its first loss one brings all that the line has; afterwards each brings 3 MB/s.
    transfer = SimulatedTransfer(lambda connections, now: 100e6 if now < 10 else 3e6 * connections, latency=0.08)
    assert transfer.run(10) == 1
    assert transfer.run(8) == 8


def test_what_one_connection_brings_is_told() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    assert transfer.controller.rate_per_connection is None
    transfer.run(5)
    assert transfer.controller.rate_per_connection == pytest.approx(20e6, rel=0.05)


def test_failed_trials_are_repeated_ever_more_rarely() -> None:
    transfer = SimulatedTransfer(shared(500e6))
    transfer.run(3600)
    trials = [at for at, number in transfer.history if number == 2]
    pauses = [round(later - earlier) for earlier, later in pairwise(trials)]
    assert 6 <= len(trials) <= 14
    assert pauses == sorted(pauses)
    assert pauses[0] >= FIRST_PAUSE_SECONDS


def test_a_line_that_gets_better_is_found_out() -> None:
    transfer = SimulatedTransfer(lambda connections, now: 20e6 * connections if now > 20 else 20e6)
    assert transfer.run(10) == 1
    assert transfer.run(60) == 8


def test_a_refusal_halves_the_number_and_rules_out_trials() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    transfer.run(5)
    transfer.controller.refused(transfer.now)
    assert transfer.controller.target == 4
    assert transfer.run(FIRST_PAUSE_SECONDS - 1) == 4
    assert transfer.run(5) == 8


def test_several_refusals_at_once_are_one() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    transfer.run(5)
    for _ in range(4):
        transfer.controller.refused(transfer.now)
    assert transfer.controller.target == 4


def test_refusals_again_and_again_lead_back_to_one() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    transfer.run(5)
    for _ in range(5):
        transfer.controller.refused(transfer.now)
        transfer.run(2)
    assert transfer.controller.target == 1


def test_a_refusal_during_a_trial_goes_back_to_what_was_kept() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    while transfer.controller.target < 4:
        transfer.run(TICK)
    transfer.controller.refused(transfer.now)
    assert transfer.controller.target == 2


def test_an_origin_that_names_a_pause_is_left_alone_for_as_long() -> None:
    transfer = SimulatedTransfer(throttled(20e6))
    transfer.run(5)
    transfer.controller.refused(transfer.now, 120.0)
    assert transfer.run(115) == 4
    assert transfer.run(10) == 8


def test_falling_throughput_ends_with_fewer_when_fewer_bring_as_much() -> None:
    def line(connections: int, now: float) -> float:
        return 20e6 * connections if now < 10 else 40e6

    transfer = SimulatedTransfer(line)
    assert transfer.run(10) == 8
    transfer.run(FIRST_PAUSE_SECONDS - 1)
    assert transfer.controller.target == 4


def test_a_line_that_gets_slower_for_all_keeps_its_connections() -> None:
    transfer = SimulatedTransfer(lambda connections, now: (20e6 if now < 10 else 5e6) * connections)
    assert transfer.run(10) == 8
    assert transfer.run(20) == 8


def test_a_silent_line_does_not_confuse_it() -> None:
    transfer = SimulatedTransfer(lambda connections, now: 0.0 if 2 < now < 8 else 20e6 * connections)
    transfer.run(20)
    assert transfer.controller.target >= 1
    assert transfer.run(120) == 8
