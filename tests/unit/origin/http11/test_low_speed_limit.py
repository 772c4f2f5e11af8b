"""The minimum rate, on a clock of numbers."""

from __future__ import annotations

from urlsum.origin.http11.low_speed_limit import LowSpeedLimit


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
