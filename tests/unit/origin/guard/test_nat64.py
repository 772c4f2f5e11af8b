"""A network's own NAT64 prefix: found by asking, and no way inside."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import pytest

from urlsum.deadline import Deadline
from urlsum.errors import Blocked, ConnectFailed
from urlsum.origin.guard import dns, guard, nat64
from urlsum.origin.guard.addresses import embedded_ipv4
from urlsum.origin.guard.guard import Guard
from urlsum.origin.guard.nat64 import (
    CACHED_AFTER_FAILURE_SECONDS,
    CACHED_SECONDS,
    LOOK_UP_SECONDS,
    WELL_KNOWN_NAME,
    prefixes,
)
from urlsum.settings import Settings, parse

if TYPE_CHECKING:
    import socket

    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver

# RFC 6052, 2.4: one IPv4 address behind a prefix of each length; the last octets of the text are hexadecimal.
EXAMPLES = {
    32: "2001:db8:c000:221::",
    40: "2001:db8:1c0:2:21::",
    48: "2001:db8:122:c000:2:2100::",
    56: "2001:db8:122:3c0:0:221::",
    64: "2001:db8:122:344:c0:2:2100:0",
    96: "2001:db8:122:344::192.0.2.33",
}


@dataclass
class Network:
    """Answers ``ipv4only.arpa`` as ``special`` says and everything else with ``answers``; nobody is ever there."""

    answers: list[str]
    special: list[str] | OSError = field(default_factory=list)
    asked: int = 0
    now: float = 0.0

    def resolve(self, host: str) -> list[str]:
        if host != WELL_KNOWN_NAME:
            return self.answers
        self.asked += 1
        if isinstance(self.special, OSError):
            raise self.special
        return self.special

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    def connect(self, guard: Guard, url: str = "http://files.example.org/") -> None:
        guard.connect(guard.inspect(url), deadline=Deadline.after(60, clock=lambda: self.now))

    def guard(self, **settings: object) -> Guard:
        return Guard(parse(settings), resolve=self.resolve, dial=self.dial)


@pytest.mark.parametrize(("length", "text"), EXAMPLES.items())
def test_the_address_behind_a_prefix_is_where_the_rfc_puts_it(length: int, text: str) -> None:
    assert str(embedded_ipv4(IPv6Address(text), length)) == "192.0.2.33"


@pytest.mark.parametrize(
    ("answer", "prefix"),
    [
        ("2a00:64:c000:aa::", "2a00:64::/32"),
        ("2a00:64:1c0:0:aa::", "2a00:64:100::/40"),
        ("2a00:64:122:c000:0:ab00::", "2a00:64:122::/48"),
        ("2a00:64:122:3c0:0:ab::", "2a00:64:122:300::/56"),
        ("2a00:64:122:344:c0:0:aa00:0", "2a00:64:122:344::/64"),
        ("2a00:64:122:344::192.0.0.171", "2a00:64:122:344::/96"),
        ("64:ff9b::192.0.0.170", "64:ff9b::/96"),
    ],
)
def test_a_prefix_of_every_length_is_recognized(answer: str, prefix: str) -> None:
    assert prefixes([IPv6Address(answer)]) == (IPv6Network(prefix),)


def test_answers_without_the_two_addresses_name_no_prefix() -> None:
    assert prefixes([IPv6Address("2606:4700::1111"), IPv6Address("2a00:64::192.0.0.172")]) == ()


@pytest.mark.parametrize("inner", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "192.0.0.192"])
def test_a_private_address_behind_the_networks_own_prefix_is_blocked(inner: str) -> None:
    network = Network([f"2a00:64::{inner}"], ["192.0.0.170", "2a00:64::192.0.0.170", "2a00:64::192.0.0.171"])
    for url in ("http://files.example.org/", f"http://[2a00:64::{inner}]/"):
        with pytest.raises(Blocked):
            network.connect(network.guard(), url)


def test_a_public_address_behind_it_is_contacted() -> None:
    network = Network(["2a00:64::8.8.8.8"], ["2a00:64::192.0.0.170"])
    with pytest.raises(ConnectFailed):
        network.connect(network.guard())


def test_no_setting_opens_metadata_behind_it() -> None:
    network = Network(["2a00:64::169.254.169.254"], ["2a00:64::192.0.0.170"])
    with pytest.raises(Blocked, match="no setting allows it"):
        network.connect(network.guard(allowed_networks="0.0.0.0/0,::/0"))


def test_a_denied_address_behind_it_is_denied() -> None:
    network = Network(["2a00:64::8.8.8.8"], ["2a00:64::192.0.0.170"])
    with pytest.raises(Blocked, match="BLOCKED_HOSTS"):
        network.connect(network.guard(blocked_hosts="8.8.8.8"))


def test_nobody_asks_before_an_ipv6_address_turns_up() -> None:
    network = Network(["8.8.8.8"])
    with pytest.raises(ConnectFailed):
        network.connect(network.guard())
    assert network.asked == 0


@pytest.mark.parametrize(
    ("special", "kept"),
    [([], CACHED_SECONDS), (OSError("SERVFAIL"), CACHED_AFTER_FAILURE_SECONDS)],
    ids=["none", "failure"],
)
def test_the_answer_is_kept_for_a_while_and_a_failure_blocks_nothing(special: list[str] | OSError, kept: float) -> None:
    network = Network(["2606:4700::1111"], special)
    guard = network.guard()
    for now, asked in ((0.0, 1), (kept - 1, 1), (kept, 2)):
        network.now = now
        with pytest.raises(ConnectFailed):
            network.connect(guard)
        assert network.asked == asked


def test_a_prefix_that_was_found_outlives_a_name_server_that_fails() -> None:
    network = Network(["2a00:64::10.0.0.1"], ["2a00:64::192.0.0.170"])
    guard = network.guard()
    for now, special in ((0.0, network.special), (CACHED_SECONDS, OSError("SERVFAIL"))):
        network.now, network.special = now, special
        with pytest.raises(Blocked):
            network.connect(guard)
    assert network.asked == 2


@pytest.mark.parametrize(
    ("connect_timeout", "left"), [(0.2, 0.1), (2 * LOOK_UP_SECONDS, LOOK_UP_SECONDS), (10.0, 10.0 - LOOK_UP_SECONDS)]
)
def test_a_hanging_look_up_leaves_time_to_connect(
    monkeypatch: pytest.MonkeyPatch, connect_timeout: float, left: float
) -> None:
    """Half of CONNECT_TIMEOUT, and all but LOOK_UP_SECONDS of a long one."""
    network = Network(["2606:4700::1111"])
    given: list[float] = []

    def resolve(host: str, ask: Resolver, *, within: float) -> list[Address]:
        if host != WELL_KNOWN_NAME:
            return [ip_address(text) for text in ask(host)]
        network.now += within  # on the clock of this test, so that a busy machine is no slow one
        raise TimeoutError

    def dial(address: Address, port: int, within: float) -> socket.socket:
        given.append(within)
        return network.dial(address, port, within)

    for module in (guard, nat64):
        monkeypatch.setattr(module, "resolve", resolve)
    judge = Guard(Settings(connect_timeout=connect_timeout), resolve=network.resolve, dial=dial)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(judge)
    assert given == [pytest.approx(left)]


def test_a_look_up_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
            dns.resolve("example.org", lambda host: [str(release.wait(30))], within=0.1)
    finally:
        release.set()
