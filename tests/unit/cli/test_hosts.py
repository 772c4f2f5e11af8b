"""Hosts that cannot be reached are not waited for again for each file."""

from __future__ import annotations

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from urlsum.cli.hosts import UNREACHABLE_SECONDS, Hosts
from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, ConnectFailed, HttpFailed, OriginError

URL, OTHER, ELSEWHERE = "https://a.example/1", "https://a.example/2", "https://b.example/1"


class Now:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Failing(SyntheticSource):
    """Raises ``error`` whenever a file is opened."""

    error: Exception | None = None

    def open(self, url: str, **arguments: object):  # type: ignore[no-untyped-def] # noqa: ANN201 - the same
        self.opened.append(0)
        if self.error is not None:
            raise self.error
        return super().open(url, **arguments)  # type: ignore[arg-type]


def opened(hosts: Hosts, url: str) -> str | None:
    """The message of the failure to open ``url``."""
    try:
        hosts.open(url, deadline=Deadline.after(1e9)).close()
    except OriginError as exc:
        return str(exc)
    return None


def test_a_host_that_was_given_up_fails_at_once_and_is_tried_again_later() -> None:
    clock, source = Now(), Failing(b"abc", Clock())
    hosts = Hosts(source, clock=clock)
    source.error = ConnectFailed("refused")
    assert opened(hosts, URL) == "refused"
    assert opened(hosts, OTHER) == "refused"  # each file may retry until one is given up
    assert not hosts.is_given_up(OTHER)
    hosts.give_up(URL)
    tries = len(source.opened)
    assert opened(hosts, OTHER) == "refused; the host was not tried again for this file"
    assert len(source.opened) == tries
    assert opened(hosts, ELSEWHERE) == "refused"  # another host
    clock.now += UNREACHABLE_SECONDS
    source.error = None
    assert opened(hosts, OTHER) is None
    assert opened(hosts, URL) is None
    assert not hosts.is_given_up(URL)


@pytest.mark.parametrize("error", [HttpFailed(404, "gone"), AddressRefused("private")])
def test_other_failures_say_nothing_about_the_host(error: OriginError) -> None:
    source = Failing(b"abc", Clock())
    hosts = Hosts(source)
    source.error = error
    opened(hosts, URL)
    hosts.give_up(URL)
    assert not hosts.is_given_up(URL)


def test_a_redirect_to_a_dead_host_says_nothing_about_the_first() -> None:
    source = Failing(b"abc", Clock())
    hosts = Hosts(source)
    source.error = ConnectFailed("refused")
    source.error.redirected = True
    opened(hosts, URL)
    hosts.give_up(URL)
    assert not hosts.is_given_up(URL)


def test_a_host_is_new_until_it_answers() -> None:
    hosts = Hosts(Failing(b"abc", Clock()))
    assert hosts.is_new(URL)
    opened(hosts, URL)
    assert not hosts.is_new(OTHER)
    assert hosts.is_new(ELSEWHERE)
