"""The limits of connections: who has to make way, and who counts as one client."""

from __future__ import annotations

import pytest

from selfhost.connections import Connections
from urlsum.setting_values import Networks


class Connection:
    evicted = False

    def evict(self) -> None:
        self.evicted = True


def added(connections: Connections, address: str | None = "198.51.100.7", count: int = 1) -> list[Connection]:
    made = [Connection() for _ in range(count)]
    assert [connections.add(each, address) for each in made] == [True] * count
    return made


def test_the_one_that_waits_longest_makes_way() -> None:
    connections = Connections(3, 0)
    first, second, third = added(connections, count=3)
    connections.waits(first)  # a second byte changes nothing
    added(connections)
    assert [first.evicted, second.evicted, third.evicted] == [True, False, False]
    assert len(connections) == 3
    connections.is_busy(second)
    added(connections)
    assert [second.evicted, third.evicted] == [False, True]
    connections.waits(second)  # it has its response: the others wait longer now
    added(connections)
    assert not second.evicted


def test_a_request_under_way_is_never_cut_off() -> None:
    connections = Connections(2, 0)
    busy = added(connections, count=2)
    for each in busy:
        connections.is_busy(each)
    assert not connections.add(Connection(), "198.51.100.7")
    assert not any(each.evicted for each in busy)
    connections.remove(busy[0])
    added(connections)


@pytest.mark.parametrize("other", ["198.51.100.8", "2001:db8::1", "127.0.0.1", None])
def test_a_client_makes_way_for_itself_and_for_nobody_else(other: str | None) -> None:
    connections = Connections(100, 2)
    theirs = added(connections, other, 2)
    ours = added(connections, "198.51.100.7", 3)
    assert [each.evicted for each in ours] == [True, False, False]
    for each in ours:
        connections.is_busy(each)
    assert not connections.add(Connection(), "198.51.100.7")
    assert not any(each.evicted for each in theirs)
    assert len(connections) == 4


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("198.51.100.7", "::ffff:198.51.100.7", True),
        ("198.51.100.7", "198.51.100.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(first: str, second: str, one: bool) -> None:
    connections = Connections(100, 1)
    (each,) = added(connections, first)
    added(connections, second)
    assert each.evicted is one


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", None])
def test_loopback_counts_in_all_only(address: str | None) -> None:
    connections = Connections(50, 2)
    assert not any(each.evicted for each in added(connections, address, 50))
    assert connections.add(Connection(), address)
    assert len(connections) == 50


def test_everybody_behind_a_trusted_proxy_comes_from_its_address() -> None:
    connections = Connections(50, 2, Networks.read("10.0.0.0/24,2001:db8::/32"))
    for address in ("10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1"):
        assert not any(each.evicted for each in added(connections, address, 10))
    assert any(each.evicted for each in added(connections, "10.0.1.7", 3))


def test_0_means_no_limit_per_client() -> None:
    assert not any(each.evicted for each in added(Connections(500, 0), count=500))


def test_what_is_removed_leaves_nothing_behind() -> None:
    connections = Connections(10, 5)
    made = added(connections, count=3)
    connections.is_busy(made[0])
    for each in [*made, *made, Connection()]:
        connections.remove(each)
        connections.waits(each)
        connections.is_busy(each)
    assert len(connections) == 0
    assert [found for found in vars(connections).values() if found] == [10, 5]
