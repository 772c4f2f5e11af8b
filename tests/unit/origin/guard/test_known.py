"""Addresses that are looked up in the background and kept."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from urlsum.deadline import Deadline
from urlsum.origin.guard import dns
from urlsum.origin.guard.known import KEPT_SECONDS, LOOK_UP_SECONDS, MAX_THREADS, KnownAddresses
from urlsum.origin.guard.own import OwnAddresses

if TYPE_CHECKING:
    import pytest

SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def refreshed(known: KnownAddresses, now: float) -> set[str]:
    """What is known after the look-ups that are due at ``now``."""
    known.begin(now)
    started = time.monotonic()
    while known._running:
        assert time.monotonic() - started < 10
        time.sleep(0.005)
    return {str(address) for address in known.addresses}


def test_an_address_counts_for_an_hour_after_it_was_seen() -> None:
    answers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    known = KnownAddresses(["n"], (lambda name: [answers.pop(0)],), refresh_seconds=300.0)
    assert refreshed(known, 0.0) == {"192.0.2.1"}
    assert refreshed(known, 299.0) == {"192.0.2.1"}
    assert refreshed(known, 300.0) == {"192.0.2.1", "192.0.2.2"}
    assert refreshed(known, KEPT_SECONDS) == {"192.0.2.2", "192.0.2.3"}


def test_each_family_has_its_own_answer() -> None:
    ipv4: list[str] | OSError = SERVFAIL

    def find_ipv4(name: str) -> list[str]:
        if isinstance(ipv4, OSError):
            raise ipv4
        return ipv4

    own = OwnAddresses("n", None, (find_ipv4, lambda name: ["2001:db8::1"]), required=True, list_interfaces=list)
    own.begin(0.0)
    own.wait(Deadline.after(60, clock=lambda: 0.0))
    assert own.of_public_url({ip_address("2001:db8::1")})
    assert own.unknown(ip_address("192.0.2.1"))
    assert not own.unknown(ip_address("2001:db8::2"))
    ipv4 = []
    own.begin(300.0)
    refreshed(own._known[0], 300.0)
    assert not own.unknown(ip_address("192.0.2.1"))


def test_the_system_is_asked_for_each_family_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def getaddrinfo(host: bytes, port: object, family: int, *more: object) -> list[object]:
        asked.append(family)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for resolver in dns.by_family(dns.system_resolver):
        assert list(resolver("example.org")) == []
    assert asked == [socket.AF_INET, socket.AF_INET6]


def test_a_long_list_is_looked_up_by_few_threads_and_nobody_waits_for_a_slow_one() -> None:
    release, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    def resolve(name: str) -> list[str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        release.wait(30)
        with lock:
            running -= 1
        return [f"192.0.2.{name}"]

    known = KnownAddresses([str(number) for number in range(100)], (resolve,), refresh_seconds=300.0)
    deadline = Deadline.after(60)
    started = time.monotonic()
    for _ in range(3):
        known.begin(deadline.clock())
        known.wait(deadline)
    waited = time.monotonic() - started
    release.set()
    assert LOOK_UP_SECONDS <= waited < LOOK_UP_SECONDS + 5
    assert len(refreshed(known, deadline.clock())) == 100
    assert most == MAX_THREADS
