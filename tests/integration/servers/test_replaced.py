"""Files that get a new version of the same length while they are read: the digest of one version, or none.

One connection cannot tell two versions apart that agree in the length, in the ETag, in Last-Modified and in the bytes
that are compared at both ends. Each of its cases differs in one of them:

- A version that is younger by a second or more has another ETag and another Last-Modified. lighttpd caches both until
  its clock's next second; until then only the bytes tell.
- A version that is younger by less than a second has another ETag in Apache (microseconds) and in lighttpd
  (nanoseconds), not in nginx and Caddy (seconds).
- A version that is as old has another ETag only in lighttpd, and only where it is another file (inode).
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.test_parallel import SMALL_PARTS, Eager, no_thread_is_left
from tests.integration.servers.covering import covering
from tests.integration.servers.reading import HONEST, NUMBERS, SECONDS, Client, digest, dishonest, outcome, side_by_side
from tests.integration.servers.replacement import (
    NEW,
    NEW_BUT_FOR_THE_TAIL,
    NEW_IN_THE_MIDDLE,
    OLD,
    SECOND,
    SIZE,
    WAYS,
    Replacement,
    overwrite,
    rename,
)
from tests.support.origin.task_runner import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.servers.replacement import Way
    from tests.support.origin.web_servers import WebServer

__all__ = ["no_thread_is_left"]

EVERYWHERE = [SIZE * twentieth // 20 for twentieth in range(20)]
FIFTHS_AND_BETWEEN = [
    pytest.param(EVERYWHERE[::4], id="fifths"),
    pytest.param([at for number, at in enumerate(EVERYWHERE) if number % 4], id="between", marks=pytest.mark.long),
]
# When the first block was read, a third, two thirds, and when the last byte was read but not the end.
SOME = [
    pytest.param([SIZE // 3, SIZE - 1], id="third and last byte"),
    pytest.param([0, SIZE * 2 // 3], id="first block and two thirds", marks=pytest.mark.long),
]
WITHIN_THE_SECOND = SECOND * 9 // 10
# How long a server believes what it found out about a file. lighttpd looks again in its clock's next second.
CACHE_SECONDS = {"lighttpd": 1.1}


@pytest.fixture(params=["one", "eight", "inline"])
def client(request: pytest.FixtureRequest) -> Client:
    """A reader of one of the three kinds: one connection ahead of it, eight, or none, as for a short file."""
    tuning = replace(SMALL_PARTS, inline_bytes=SIZE) if request.param == "inline" else SMALL_PARTS
    return Client(8 if request.param == "eight" else 1, tuning=tuning, controller=Eager)


@pytest.mark.parametrize("levels", [(4, 3, 2), (4, 3, 3), (4, 3, 2, 2)], ids=str)
def test_the_gate_has_every_pair_of_server_client_and_way(levels: tuple[int, ...]) -> None:
    """The products of this file: servers, clients, and what their tests vary."""
    chosen = covering(levels)
    assert len(chosen) == levels[0] * levels[1]
    for one, other in combinations(range(len(levels)), 2):
        pairs = {(case[one], case[other]) for case in chosen}
        assert pairs == set(product(range(levels[one]), range(levels[other])))


@pytest.mark.parametrize("age", [0, 3600], ids=["new", "an hour old"])
def test_a_file_that_stays_the_same_has_its_digest(server: WebServer, client: Client, age: int) -> None:
    path = server.root / f"{next(NUMBERS)}.bin"
    path.write_bytes(OLD)
    modified = time.time() - age
    os.utime(path, (modified, modified))
    found = digest(client.origin(SIZE, lambda: None), server.url(path.name))
    path.unlink()
    assert Replacement(overwrite).version(found) == "old"
    assert len(client.opened) >= client.connections


@pytest.mark.parametrize("points", FIFTHS_AND_BETWEEN)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_replaced_has_no_mixed_digest(
    server: WebServer, client: Client, way: Way, points: Sequence[int]
) -> None:
    outcomes = side_by_side(lambda at: outcome(server, client, Replacement(way), at), points)
    assert dishonest(outcomes, way) == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", ["inline"], indirect=True)
@pytest.mark.parametrize("size", [4_096, 20_000, 60_000])
def test_a_short_file_that_is_replaced_at_once_has_no_mixed_digest(
    server: WebServer, client: Client, way: Way, size: int
) -> None:
    """A read that takes a few milliseconds is torn as well: sendfile() sends what a page has when it leaves."""
    client.rate = math.inf
    replacement = Replacement(way, NEW[:size], old=OLD[:size])
    outcomes = Counter(outcome(server, client, replacement, at) for at in (-1, 0, size // 2) for _ in range(10))
    assert set(outcomes) <= HONEST[way], outcomes


@pytest.mark.parametrize("points", SOME)
@pytest.mark.parametrize("way", [overwrite, rename])
@pytest.mark.parametrize("younger", [0, WITHIN_THE_SECOND], ids=["as old", "of the same second"])
def test_validators_that_stay_the_same_are_not_believed(
    server: WebServer, client: Client, way: Way, younger: int, points: Sequence[int]
) -> None:
    """The tail stays the same, too."""
    outcomes = side_by_side(
        lambda at: outcome(server, client, Replacement(way, NEW_BUT_FOR_THE_TAIL, younger), at), points
    )
    assert dishonest(outcomes, way) == {}


@pytest.mark.parametrize("points", SOME)
@pytest.mark.parametrize("way", [overwrite, rename])
def test_bytes_that_stay_the_same_are_not_believed(
    server: WebServer, client: Client, way: Way, points: Sequence[int]
) -> None:
    replacement, pause = Replacement(way, NEW_IN_THE_MIDDLE), CACHE_SECONDS.get(server.package, 0)
    outcomes = side_by_side(lambda at: outcome(server, client, replacement, at, pause=pause), points)
    assert dishonest(outcomes, way) == {}


@pytest.mark.parametrize("points", FIFTHS_AND_BETWEEN)
@pytest.mark.parametrize("client", ["eight"], indirect=True)
@pytest.mark.parametrize("younger", [0, WITHIN_THE_SECOND], ids=["as old", "of the same second"])
def test_parts_that_do_not_fit_together_show_another_version(
    server: WebServer, client: Client, younger: int, points: Sequence[int]
) -> None:
    """Validators and both ends stay the same: only the overlaps of parts differ, and they settle it."""
    replacement = Replacement(overwrite, NEW_IN_THE_MIDDLE, younger)
    outcomes = side_by_side(lambda at: outcome(server, client, replacement, at), points[1:])
    assert dishonest(outcomes, overwrite) == {}


@pytest.mark.parametrize("points", SOME)
@pytest.mark.parametrize("way", WAYS)
def test_a_task_ends_with_the_digest_of_one_version(
    server: WebServer, client: Client, way: Way, points: Sequence[int]
) -> None:
    replacement = Replacement(way)

    def task(at: int) -> str:
        path = server.root / f"{next(NUMBERS)}.bin"
        replacement.prepare(path)
        origin = client.origin(at, lambda: replacement.apply(path))
        found = Worker(client.settings, slice_seconds=SECONDS).run(server.url(path.name), origin=origin)
        path.unlink()
        assert origin.acted
        return found.error.code if found.error else replacement.version(found.md5)

    # A server may keep the old file open until the read has ended.
    expected = {"old", "new"} if way is rename else {"new"}
    outcomes = side_by_side(task, points)
    assert {at: found for at, found in outcomes.items() if found not in expected} == {}
