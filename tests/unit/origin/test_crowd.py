"""The number of connections to one origin, over all files of a process."""

from __future__ import annotations

from urlsum.origin.crowd import Crowd
from urlsum.origin.target import parse

HERE, THERE = parse("https://a.example/1"), parse("https://b.example/1")


def test_helpers_are_let_in_up_to_the_limit_and_again_once_one_has_left() -> None:
    crowd = Crowd(2)
    assert [crowd.enter(HERE, first=False) for _ in range(3)] == [True, True, False]
    crowd.leave(HERE)
    assert crowd.enter(HERE, first=False)


def test_every_file_may_have_one_and_helpers_then_leave() -> None:
    crowd = Crowd(2)
    assert [crowd.enter(HERE, first=True) for _ in range(2)] == [True, True]
    assert not crowd.too_many(HERE)
    assert crowd.enter(HERE, first=True)
    assert crowd.too_many(HERE)
    crowd.leave(HERE)
    assert not crowd.too_many(HERE)


def test_origins_are_counted_apart_and_their_paths_together() -> None:
    crowd = Crowd(1)
    assert crowd.enter(HERE, first=False)
    assert crowd.enter(THERE, first=False)
    assert crowd.enter(parse("http://a.example/1"), first=False)
    assert not crowd.enter(parse("https://a.example/2"), first=False)


def test_each_that_leaves_makes_room_for_one() -> None:
    crowd = Crowd(3)
    assert [crowd.enter(HERE, first=False) for _ in range(4)] == [True, True, True, False]
    crowd.leave(HERE)
    assert [crowd.enter(HERE, first=False) for _ in range(2)] == [True, False]
    for _ in range(3):
        crowd.leave(HERE)
    assert not crowd._inside  # an origin that nobody reads from costs no memory
