"""A deadline: its time, its cancellation, and the earlier of two."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

import pytest

from urlsum.deadline import Deadline


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_expires_at_its_time_and_not_before() -> None:
    clock = Clock()
    deadline = Deadline.after(10.0, clock=clock)
    assert (deadline.at, deadline.remaining(), deadline.expired) == (110.0, 10.0, False)
    clock.now = 109.9
    assert not deadline.expired
    clock.now = 110.0
    assert deadline.expired
    clock.now = 120.0
    assert deadline.remaining() == 0.0
    assert not deadline.cancelled


def test_a_cancellation_expires_it_at_once() -> None:
    cancelled = Event()
    deadline = Deadline.after(10.0, clock=Clock(), is_cancelled=cancelled.is_set)
    assert (deadline.expired, deadline.cancelled, deadline.remaining()) == (False, False, 10.0)
    cancelled.set()
    assert (deadline.expired, deadline.cancelled, deadline.remaining()) == (True, True, 0.0)


@pytest.mark.parametrize(("seconds", "at"), [(3.0, 103.0), (10.0, 110.0), (30.0, 110.0)])
def test_a_shorter_limit_keeps_the_clock_and_the_cancellation(seconds: float, at: float) -> None:
    clock, cancelled = Clock(), Event()
    limit = Deadline.after(10.0, clock=clock, is_cancelled=cancelled.is_set).within(seconds)
    assert limit.at == at
    clock.now = at
    assert limit.expired
    clock.now = 100.0
    cancelled.set()
    assert limit.cancelled


def test_without_a_clock_it_is_on_the_monotonic_one() -> None:
    assert 9.0 < Deadline.after(10.0).remaining() <= 10.0
    assert not Deadline.after(10.0).cancelled


@pytest.mark.parametrize(("seconds", "ended"), [(3.0, False), (10.0, True), (30.0, True)])
def test_a_wait_ended_by_the_deadline_is_told_from_one_by_its_limit(seconds: float, ended: bool) -> None:
    cancelled = Event()
    deadline = Deadline.after(10.0, clock=Clock(), is_cancelled=cancelled.is_set)
    limit = deadline.within(seconds)
    assert deadline.ended(limit) is ended
    cancelled.set()
    assert deadline.ended(limit)
