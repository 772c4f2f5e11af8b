"""The rate of the progress bar, from which the time that is left is computed."""

from __future__ import annotations

import pytest

from urlsum.cli.throughput import FIRST_SECONDS, Throughput

FULL = 160_000_000.0
STEP = 0.05


def climb(seconds: float) -> float:
    """The rate of 1, 2, 4, 8 connections of 20 MB/s, a doubling each 0.3 s."""
    return FULL / 8 * min(1 << int(seconds / 0.3), 8)


def rates(seconds: float) -> list[float | None]:
    throughput, shown, now = Throughput(0.0), [], 0.0
    while now < seconds:
        now += STEP
        throughput.add(now, round(climb(now) * STEP))
        shown.append(throughput.rate(now))
    return shown


def test_no_rate_is_shown_while_connections_are_added() -> None:
    shown = rates(FIRST_SECONDS - 2 * STEP)
    assert set(shown) == {None}


def test_the_first_rate_is_that_of_all_connections_and_stays() -> None:
    shown = [rate for rate in rates(60.0) if rate is not None]
    assert len(shown) > 1000
    assert min(shown) >= FULL * 0.9
    assert max(shown) <= FULL * 1.1


def test_a_slower_network_is_shown_within_the_window() -> None:
    throughput = Throughput(0.0)
    for second in range(1, 61):
        throughput.add(float(second), 100)
    for second in range(61, 77):
        throughput.add(float(second), 10)
    assert throughput.rate(76.0) == pytest.approx(10)
