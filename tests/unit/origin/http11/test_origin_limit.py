"""The number of connections to one origin, over all files of a process."""

from __future__ import annotations

from urlsum.origin.guard.url import parse
from urlsum.origin.http11.origin_limit import OriginLimit

HERE, THERE = parse("https://a.example/1"), parse("https://b.example/1")


def test_helpers_are_let_in_up_to_the_limit_and_again_once_one_has_left() -> None:
    limit = OriginLimit(2)
    assert [limit.try_acquire(HERE, first=False) for _ in range(3)] == [True, True, False]
    limit.release(HERE)
    assert limit.try_acquire(HERE, first=False)


def test_every_file_may_have_one_and_helpers_then_leave() -> None:
    limit = OriginLimit(2)
    assert [limit.try_acquire(HERE, first=True) for _ in range(2)] == [True, True]
    assert not limit.exceeded(HERE)
    assert limit.try_acquire(HERE, first=True)
    assert limit.exceeded(HERE)
    limit.release(HERE)
    assert not limit.exceeded(HERE)


def test_origins_are_counted_apart_and_their_paths_together() -> None:
    limit = OriginLimit(1)
    assert limit.try_acquire(HERE, first=False)
    assert limit.try_acquire(THERE, first=False)
    assert limit.try_acquire(parse("http://a.example/1"), first=False)
    assert not limit.try_acquire(parse("https://a.example/2"), first=False)


def test_each_that_leaves_makes_room_for_one() -> None:
    limit = OriginLimit(3)
    assert [limit.try_acquire(HERE, first=False) for _ in range(4)] == [True, True, True, False]
    limit.release(HERE)
    assert [limit.try_acquire(HERE, first=False) for _ in range(2)] == [True, False]
    for _ in range(3):
        limit.release(HERE)
    assert not limit._open  # an origin that nobody reads from costs no memory
