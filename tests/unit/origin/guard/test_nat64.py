"""A network's own NAT64 prefix: found by asking, and no way inside, however late or wrong the answer is."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, ConnectFailed, DeadlineReached
from urlsum.origin.guard import dns, known
from urlsum.origin.guard.addresses import embedded_ipv4
from urlsum.origin.guard.guard import Guard
from urlsum.origin.guard.known import AFTER_FAILURE_SECONDS, KEPT_SECONDS
from urlsum.origin.guard.nat64 import REFRESH_SECONDS, WELL_KNOWN_NAME, prefixes
from urlsum.settings import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.origin.guard.addresses import Address

# RFC 6052, 2.4: one IPv4 address behind a prefix of each length; the last octets of the text are hexadecimal.
EXAMPLES = {
    32: "2001:db8:c000:221::",
    40: "2001:db8:1c0:2:21::",
    48: "2001:db8:122:c000:2:2100::",
    56: "2001:db8:122:3c0:0:221::",
    64: "2001:db8:122:344:c0:2:2100:0",
    96: "2001:db8:122:344::192.0.2.33",
}
PREFIX = ["2a00:64::192.0.0.170", "2a00:64::192.0.0.171"]
NXDOMAIN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NODATA = socket.gaierror(getattr(socket, "EAI_NODATA", socket.EAI_NONAME), "No address associated with hostname")
SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
REFUSED = socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution")


@dataclass
class Network:
    """Answers ``ipv4only.arpa`` as ``special`` says and everything else with ``answers``; nobody is ever there."""

    answers: list[str]
    special: Sequence[str] | Exception = ()
    release: threading.Event | None = None
    asked: int = 0
    now: float = 0.0
    dialled: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def resolve(self, host: str) -> list[str]:
        if host != WELL_KNOWN_NAME:
            return self.answers
        special = self.special
        self.asked += 1
        if self.release is not None:
            self.release.wait(30)
        if isinstance(special, Exception):
            raise special
        return list(special)

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        self.dialled.append(str(address))
        self.shares.append(within)
        raise ConnectionRefusedError(111, "Connection refused")

    def connect(self, guard: Guard, url: str = "http://files.example.org/") -> None:
        guard.connect(guard.inspect(url), deadline=Deadline.after(60, clock=lambda: self.now))

    def guard(self, **settings: object) -> Guard:
        return Guard(parse(settings), resolve=self.resolve, dial=self.dial, list_interfaces=list)

    def settled(self, guard: Guard) -> None:
        """Wait until no look-up is running."""
        started = time.monotonic()
        while guard._nat64._known._running:
            assert time.monotonic() - started < 10
            time.sleep(0.005)


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
    network = Network([f"2a00:64::{inner}"], ["192.0.0.170", *PREFIX])
    for url in ("http://files.example.org/", f"http://[2a00:64::{inner}]/"):
        with pytest.raises(AddressRefused):
            network.connect(network.guard(), url)


def test_a_public_address_behind_it_is_contacted() -> None:
    network = Network(["2a00:64::8.8.8.8"], PREFIX)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(network.guard())


def test_no_setting_opens_metadata_behind_it() -> None:
    network = Network(["2a00:64::169.254.169.254"], PREFIX)
    with pytest.raises(AddressRefused, match="no setting allows it"):
        network.connect(network.guard(allowed_networks="0.0.0.0/0,::/0"))


def test_a_denied_address_behind_it_is_denied() -> None:
    network = Network(["2a00:64::8.8.8.8"], PREFIX)
    with pytest.raises(AddressRefused, match="BLOCKED_HOSTS"):
        network.connect(network.guard(blocked_hosts="8.8.8.8"))


def test_nobody_asks_before_an_ipv6_address_turns_up() -> None:
    network = Network(["8.8.8.8"])
    with pytest.raises(ConnectFailed):
        network.connect(network.guard())
    assert network.asked == 0


def test_loopback_needs_no_look_up() -> None:
    network = Network(["::1"], SERVFAIL)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(network.guard(allowed_networks="::1/128"), "http://localhost:8000/")
    assert (network.asked, network.dialled) == (0, ["::1"])


@pytest.mark.parametrize("special", [[], ["192.0.0.170"], NXDOMAIN, NODATA], ids=["none", "IPv4", "NXDOMAIN", "NODATA"])
def test_an_answer_without_a_prefix_opens_ipv6(special: list[str] | Exception) -> None:
    network = Network(["2606:4700::1111"], special)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(network.guard())
    assert network.dialled == ["2606:4700::1111"]


@pytest.mark.parametrize(
    "special",
    [SERVFAIL, REFUSED, OSError("no resolver"), ValueError("no name"), ["not-an-address"]],
    ids=["SERVFAIL", "REFUSED", "OSError", "ValueError", "no address"],
)
def test_a_look_up_that_fails_closes_ipv6_and_leaves_ipv4(special: list[str] | Exception) -> None:
    network = Network(["2a00:64::10.0.0.1", "8.8.8.8"], special)
    guard = network.guard()
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(guard)
    assert network.dialled == ["8.8.8.8"]
    for url in ("http://files.example.org/", "http://[2a00:64::10.0.0.1]/"):
        network.answers = ["2a00:64::10.0.0.1"]
        with pytest.raises(ConnectFailed, match="IPv6 is closed"):
            network.connect(guard, url)
    assert network.dialled == ["8.8.8.8"]


def test_nat64_late_the_answer_is_waited_for_once_and_used_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "LOOK_UP_SECONDS", 0.2)
    network = Network(["2a00:64::10.0.0.1"], PREFIX, release=threading.Event())
    guard = network.guard()
    started = time.monotonic()
    with pytest.raises(ConnectFailed, match="IPv6 is closed"):
        network.connect(guard)
    assert 0.15 < time.monotonic() - started < 5
    network.now = 0.2
    waits: list[float] = []
    wait = threading.Event.wait

    def noted(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is not None:  # the start of a thread waits as well
            waits.append(timeout)
        return wait(event, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Event, "wait", noted)
        with pytest.raises(ConnectFailed, match="IPv6 is closed"):
            network.connect(guard)
    assert waits == []
    assert network.release is not None
    network.release.set()
    network.settled(guard)
    with pytest.raises(AddressRefused):
        network.connect(guard)
    assert (network.asked, network.dialled) == (1, [])


def test_the_look_up_takes_nothing_of_the_time_to_connect() -> None:
    network = Network(["2606:4700::1111"])

    def resolve(host: str) -> list[str]:
        if host == WELL_KNOWN_NAME:
            network.now += 1.9  # on the clock of this test, so that a busy machine is no slow one
        return network.resolve(host)

    guard = Guard(parse({"connect_timeout": 10.0}), resolve=resolve, dial=network.dial, list_interfaces=list)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(guard)
    assert network.shares == [10.0]


def test_a_deadline_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # Far from the deadline, so that a machine that stands still does not look like a wait for the answer.
    monkeypatch.setattr(known, "LOOK_UP_SECONDS", 60.0)
    network = Network(["2606:4700::1111"], release=threading.Event())
    guard = network.guard()
    started = time.monotonic()
    try:
        with pytest.raises(DeadlineReached):
            guard.connect(guard.inspect("http://files.example.org/"), deadline=Deadline.after(0.1))
        assert time.monotonic() - started < 10
    finally:
        assert network.release is not None
        network.release.set()


@pytest.mark.parametrize(
    ("special", "kept"), [([], REFRESH_SECONDS), (SERVFAIL, AFTER_FAILURE_SECONDS)], ids=["none", "failure"]
)
def test_the_answer_is_kept_for_a_while_and_a_failure_not_for_long(special: list[str] | Exception, kept: float) -> None:
    network = Network(["2606:4700::1111"], special)
    guard = network.guard()
    for now, asked in ((0.0, 1), (kept - 1, 1), (kept, 2)):
        network.now = now
        with pytest.raises(ConnectFailed):
            network.connect(guard)
        network.settled(guard)
        assert network.asked == asked


def test_ipv6_opens_when_the_name_server_recovers() -> None:
    network = Network(["2606:4700::1111"], SERVFAIL)
    guard = network.guard()
    with pytest.raises(ConnectFailed, match="IPv6 is closed"):
        network.connect(guard)
    network.settled(guard)
    network.special, network.now = [], AFTER_FAILURE_SECONDS
    with pytest.raises(ConnectFailed):
        network.connect(guard)
    network.settled(guard)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        network.connect(guard)


def test_a_prefix_that_was_found_outlives_a_name_server_that_fails_but_not_for_ever() -> None:
    network = Network(["2a00:64::10.0.0.1"], PREFIX)
    guard = network.guard()
    with pytest.raises(AddressRefused):
        network.connect(guard)
    network.settled(guard)
    network.special = SERVFAIL
    network.now = KEPT_SECONDS
    with pytest.raises(AddressRefused):
        network.connect(guard)
    network.settled(guard)
    assert network.asked == 2
    network.now = KEPT_SECONDS + 1
    with pytest.raises(ConnectFailed, match="IPv6 is closed"):
        network.connect(guard)
    assert network.dialled == []


def test_only_the_ipv6_addresses_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query for both families succeeds with the answer to one of them, and so would hide that the other failed."""
    asked: list[tuple[bytes, int]] = []

    def getaddrinfo(host: bytes, port: object, family: int, *more: object) -> list[object]:
        asked.append((host, family))
        raise NODATA

    guard = Guard(parse({}), dial=Network([]).dial, list_interfaces=list)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectFailed, match="Connection refused"):
        guard.connect(guard.inspect("http://[2606:4700::1111]/"), deadline=Deadline.after(60))
    assert asked == [(b"ipv4only.arpa.", socket.AF_INET6)]


def test_a_look_up_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
            dns.resolve("example.org", lambda host: [str(release.wait(30))], within=0.1)
    finally:
        release.set()
