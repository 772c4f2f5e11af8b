"""The places of one process at an origin: by name and by address, for first and further connections of files."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from urlsum.deadline import Deadline
from urlsum.origin.guard.url import parse
from urlsum.origin.http11 import origin_limit
from urlsum.origin.http11.origin_limit import TURNOVER_SECONDS, AddressFull, NoPlace, OriginLimit, Place, Turn

if TYPE_CHECKING:
    from urlsum.origin.http11.origin_limit import Key

HERE, THERE = parse("https://a.example/1"), parse("https://b.example/1")
ADDRESS, OTHER = ip_address("192.88.98.1"), ip_address("192.88.98.2")


class Limit(OriginLimit):
    """A limit whose idle connections are places in a list."""

    def __init__(self, per_origin: int, per_address: int = 99) -> None:
        self.idle: list[Place] = []
        self.now = 100.0
        super().__init__(
            per_origin=per_origin,
            per_address=per_address,
            drop_idle=self._drop,
            drop_stale=self.idle.clear,
            clock=lambda: self.now,
        )

    def _drop(self, key: Key) -> bool:
        place = next((place for place in self.idle if key in place.keys), None)
        if place is None:
            return False
        self.idle.remove(place)
        place.release()
        return True

    def first(self, heartbeat: object = None) -> Turn:
        return self.turn(Deadline.after(60), lambda: None)

    def further(self, target: object = HERE) -> bool:
        try:
            self.reserve(target, None)  # type: ignore[arg-type]
        except NoPlace:
            return False
        return True


def test_places_end_at_the_limit_and_one_that_is_given_back_makes_room_for_one() -> None:
    limit = Limit(2)
    place = limit.reserve(HERE, limit.first())
    assert [limit.further() for _ in range(2)] == [True, False]
    place.release()
    place.release()  # a connection may be closed twice
    assert [limit.further() for _ in range(2)] == [True, False]


def test_the_first_connection_of_a_file_has_no_place_beyond_the_limit_either() -> None:
    limit = Limit(1)
    limit.reserve(HERE, limit.first())
    with pytest.raises(NoPlace, match=r"1 connections to https://a\.example:443 are open"):
        limit.reserve(HERE, limit.first())


def test_origins_are_counted_apart_and_their_paths_together() -> None:
    limit = Limit(1)
    assert limit.further(HERE)
    assert limit.further(THERE)
    assert limit.further(parse("http://a.example/1"))
    assert not limit.further(parse("https://a.example/2"))


def test_eight_names_of_one_address_share_its_places() -> None:
    limit = Limit(8, 8)
    admitted = 0
    for number in range(66):
        place = limit.reserve(parse(f"https://name{number % 8}.example/"), limit.first())
        try:
            place.admit(ADDRESS)
        except AddressFull:
            place.release()
        else:
            admitted += 1
    assert admitted == 8


def test_a_name_with_several_addresses_has_no_more_places_than_with_one() -> None:
    limit = Limit(3, 2)
    for address in (ADDRESS, ADDRESS, OTHER):
        limit.reserve(HERE, limit.first()).admit(address)
    assert not limit.further()


def test_an_address_that_is_full_leaves_the_place_for_another_one() -> None:
    limit = Limit(9, 1)
    limit.reserve(THERE, limit.first()).admit(ADDRESS)
    place = limit.reserve(HERE, limit.first())
    with pytest.raises(AddressFull):
        place.admit(ADDRESS)
    assert place.refused is not None
    place.admit(OTHER)
    assert place.refused is None
    place.release()
    assert {key.name: key.used for key in limit.in_use()} == {"https://b.example:443": 1, "192.88.98.1": 1}


def test_addresses_that_an_operator_opens_are_counted_by_port() -> None:
    limit = Limit(9, 1)
    for port in (8001, 8002):
        limit.reserve(parse(f"http://127.0.0.1:{port}/"), limit.first()).admit(ip_address("127.0.0.1"))
    with pytest.raises(AddressFull):
        limit.reserve(parse("http://localhost:8001/"), limit.first()).admit(ip_address("127.0.0.1"))
    limit.reserve(parse("http://[::1]:8001/"), limit.first()).admit(ip_address("::1"))


def test_ports_of_a_public_address_are_counted_together() -> None:
    limit = Limit(9, 1)
    limit.reserve(parse("http://a.example/"), limit.first()).admit(ADDRESS)
    with pytest.raises(AddressFull):
        limit.reserve(parse("http://b.example:8080/"), limit.first()).admit(ADDRESS)


def test_an_idle_connection_makes_room_for_another_name_of_its_address() -> None:
    limit = Limit(8, 1)
    place = limit.reserve(HERE, limit.first())
    place.admit(ADDRESS)
    limit.idle.append(place)
    limit.reserve(THERE, limit.first()).admit(ADDRESS)
    assert not limit.idle
    assert place.released


def test_a_file_that_waits_comes_before_new_ones_and_further_connections() -> None:
    limit = Limit(1)
    place, turn = limit.reserve(HERE, limit.first()), limit.first()
    with pytest.raises(NoPlace) as full:
        limit.reserve(HERE, turn)
    threading.Timer(0.1, place.release).start()
    turn.wait(full.value)
    assert not limit.further()
    with pytest.raises(NoPlace):
        limit.reserve(HERE, limit.first())
    limit.reserve(HERE, turn)


def test_a_place_is_wanted_while_somebody_waits_for_it() -> None:
    limit = Limit(1)
    place, turn = limit.reserve(HERE, limit.first()), limit.first()
    assert not place.wanted
    assert limit.join(place.keys[0], turn)
    assert place.wanted
    limit.leave(turn)
    assert not place.wanted


def test_only_one_file_waits_where_connections_stay_open() -> None:
    limit = Limit(1)
    place = limit.reserve(HERE, limit.first())
    limit.now += TURNOVER_SECONDS + 0.1
    assert limit.join(place.keys[0], limit.first())
    assert not limit.join(place.keys[0], limit.first())


def test_all_files_wait_as_long_as_nobody_can_tell_whether_connections_come_and_go() -> None:
    limit = Limit(1)
    place = limit.reserve(HERE, limit.first())
    limit.now += TURNOVER_SECONDS - 0.1
    assert all(limit.join(place.keys[0], limit.first()) for _ in range(9))


def test_all_files_wait_where_connections_come_and_go() -> None:
    limit = Limit(2)
    place = limit.reserve(HERE, limit.first())
    limit.reserve(HERE, limit.first()).release()
    assert all(limit.join(place.keys[0], limit.first()) for _ in range(9))


def test_a_wait_ends_in_time_and_renews_the_lease_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin_limit, "LOOK_SECONDS", 0.01)
    limit, now, beats = Limit(1), [0.0], []

    def beat() -> None:
        now[0] += 1.0
        beats.append(now[0])

    limit.reserve(HERE, limit.first())
    turn = Turn(limit, Deadline(60, lambda: now[0]), beat)
    with pytest.raises(NoPlace) as full:
        limit.reserve(HERE, turn)
    with pytest.raises(NoPlace):
        turn.wait(full.value)
    assert beats == [1.0, 2.0, 3.0, 4.0]


def test_a_wait_ends_with_the_deadline() -> None:
    limit = Limit(1)
    limit.reserve(HERE, limit.first())
    beats: list[int] = []
    turn = Turn(limit, Deadline.after(60, is_cancelled=lambda: True), lambda: beats.append(1))
    with pytest.raises(NoPlace) as full:
        limit.reserve(HERE, turn)
    with pytest.raises(NoPlace):
        turn.wait(full.value)
    assert beats == [1]
    turn.end()
    assert not limit.in_use()[0].waiting


def test_a_connection_that_comes_into_the_pool_ends_the_wait() -> None:
    limit = Limit(1)
    place, turn = limit.reserve(HERE, limit.first()), limit.first()
    assert limit.join(place.keys[0], turn)
    threading.Timer(0.1, limit.pooled).start()
    assert limit.wait(place.keys[0], turn, 5)


def test_the_totals_of_an_origin_outlive_its_connections() -> None:
    limit = Limit(3)
    places = [limit.reserve(HERE, limit.first()) for _ in range(3)]
    for number, place in enumerate(places, 1):
        place.requests, place.received = number, 100 * number
    [key] = limit.in_use()
    for place in places[:2]:
        assert limit.totals(key) == (6, 600)
        place.release()
    assert limit.totals(key) == (6, 600)


def test_an_origin_that_nobody_reads_from_costs_no_memory() -> None:
    limit = Limit(1)
    place = limit.reserve(HERE, limit.first())
    place.admit(ADDRESS)
    turn = limit.first()
    with pytest.raises(NoPlace) as full:
        limit.reserve(HERE, turn)
    limit.join(full.value.key, turn)
    place.release()
    turn._until = 0.0
    turn.end()
    assert not limit.in_use()


def test_many_threads_never_have_more_places_than_there_are() -> None:
    limit, most, now = Limit(3, 2), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        turn = limit.first()
        done = 0
        while done < 50:
            try:
                place = limit.reserve(HERE, turn)
                try:
                    place.admit(ADDRESS)
                except AddressFull:
                    place.release()
                    continue
            except NoPlace:
                continue
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            with lock:
                now[0] -= 1
            place.release()
            done += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 2
    assert not limit.in_use()
