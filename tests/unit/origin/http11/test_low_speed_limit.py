"""The minimum rate, on a clock of numbers."""

from __future__ import annotations

import pytest

from urlsum.origin.http11.low_speed_limit import MIB, CpuLimit, LowSpeedLimit


def test_a_trickle_is_too_slow_only_once_a_whole_window_has_passed() -> None:
    pace = LowSpeedLimit(1024, 60.0)
    assert [pace.too_slow(1, 25.0) for _ in range(3)] == [False, False, True]


def test_the_minimum_rate_itself_is_fast_enough() -> None:
    pace = LowSpeedLimit(1024, 60.0)
    assert not any(pace.too_slow(1024 * 30, 30.0) for _ in range(100))


def test_a_burst_does_not_excuse_a_later_window() -> None:
    pace = LowSpeedLimit(1024, 60.0)
    assert not pace.too_slow(2**30, 60.0)
    assert pace.too_slow(1, 60.0)


def test_a_pause_inside_a_window_is_forgiven_when_the_rest_is_fast() -> None:
    pace = LowSpeedLimit(1024, 60.0)
    assert not pace.too_slow(1, 29.0)
    assert not pace.too_slow(2**20, 40.0)


def test_no_minimum_means_none() -> None:
    pace = LowSpeedLimit(0, 60.0)
    assert not any(pace.too_slow(1, 1e9) for _ in range(3))


def test_one_byte_less_than_the_minimum_is_too_slow_in_every_window() -> None:
    pace = LowSpeedLimit(1024, 60.0)
    assert [pace.too_slow(count, 60.0) for count in (60 * 1024 - 1, 60 * 1024, 60 * 1024 - 1)] == [True, False, True]


@pytest.mark.parametrize(
    ("bytes_per_cpu_second", "wall_per_cpu_second", "costly"),
    [
        (MIB, 1.0, False),
        (MIB - 10, 1.0, True),
        (225_000, 1.0, True),  # chunks of one byte
        (12 * MIB, 1.0, False),  # chunks of 64 bytes
        (1.3 * MIB, 10.0, False),  # these on a machine that is ten times slower
        (100, 19.0, True),
        (100, 21.0, False),  # less than a twentieth of a core
    ],
)
def test_bytes_may_cost_a_second_of_cpu_time_per_mib(
    bytes_per_cpu_second: float, wall_per_cpu_second: float, costly: bool
) -> None:
    limit = CpuLimit()
    calls = [limit.too_costly(int(bytes_per_cpu_second / 8), 0.125, wall_per_cpu_second / 8) for _ in range(40)]
    # Judged after each second of CPU time.
    assert calls == ([False] * 7 + [costly]) * 5


def test_what_came_cheaply_before_does_not_excuse_what_comes_now() -> None:
    limit = CpuLimit()
    assert not limit.too_costly(100 * MIB, 1.0, 1.0)
    assert limit.too_costly(1000, 1.0, 1.0)
