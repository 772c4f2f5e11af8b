from __future__ import annotations

import os

import pytest

from urlsum.origin.parallel.concurrency import IDLE_SHARE, MEASURE_SECONDS, ReadAheadPolicy, cpus


class Clocks:
    """The time, and the CPU time of a thread that is busy for ``share`` of it."""

    def __init__(self) -> None:
        self.now = self.busy = 100.0

    def pass_by(self, seconds: float, share: float) -> None:
        self.now += seconds
        self.busy += seconds * share

    def overlap(self, available: int) -> ReadAheadPolicy:
        return ReadAheadPolicy(available, clock=lambda: self.now, busy=lambda: self.busy)


def test_with_several_cpus_it_always_pays() -> None:
    assert Clocks().overlap(2).should_read_ahead()


def test_a_single_busy_cpu_gains_nothing() -> None:
    clocks = Clocks()
    overlap = clocks.overlap(1)
    for _ in range(50):
        clocks.pass_by(MEASURE_SECONDS / 3, 1 - IDLE_SHARE / 2)
        assert not overlap.should_read_ahead()


def test_a_single_cpu_that_waits_for_the_line_gains_once_that_is_seen() -> None:
    clocks = Clocks()
    overlap = clocks.overlap(1)
    clocks.pass_by(MEASURE_SECONDS * 0.9, 0.5)
    assert not overlap.should_read_ahead()
    clocks.pass_by(MEASURE_SECONDS * 0.2, 0.5)
    assert overlap.should_read_ahead()


def test_a_line_that_slows_down_later_is_seen_then() -> None:
    clocks = Clocks()
    overlap = clocks.overlap(1)
    clocks.pass_by(10.0, 1.0)
    assert not overlap.should_read_ahead()
    clocks.pass_by(MEASURE_SECONDS, 0.2)
    assert overlap.should_read_ahead()


def test_the_cpus_are_those_of_this_process_not_of_the_machine() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("only Linux lets a process choose its CPUs")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cpus() == len(before)
