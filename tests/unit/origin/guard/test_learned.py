"""What the guard learns by itself: its own addresses, and those of the hosts that the operator denies."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.addresses import EVERYTHING
from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, ConnectFailed, DnsFailed
from urlsum.origin.guard.guard import Guard
from urlsum.origin.guard.known import AFTER_FAILURE_SECONDS
from urlsum.origin.guard.own import LISTED_SECONDS
from urlsum.settings import parse

if TYPE_CHECKING:
    from urlsum.origin.guard.addresses import Address

SERVFAIL = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Names:
    """A network whose records and interfaces a test changes. A name without a record does not exist; nobody answers."""

    def __init__(self, **records: list[str] | OSError) -> None:
        self.interfaces: list[Address] | OSError = []
        self.dialled: list[Address] = []
        self.records = {name.replace("_", ".") + ".": record for name, record in records.items()}
        self.asked: list[str] = []
        self.now = 0.0

    def resolve(self, host: str) -> list[str]:
        self.asked.append(host)
        record = self.records.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(record, OSError):
            raise record
        return record

    def list_interfaces(self) -> list[Address]:
        if isinstance(self.interfaces, OSError):
            raise self.interfaces
        return self.interfaces

    def dial(self, address: Address, port: int, within: float) -> socket.socket:
        self.dialled.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    def guard(self, **settings: object) -> Guard:
        return Guard(parse(settings), resolve=self.resolve, dial=self.dial, list_interfaces=self.list_interfaces)

    def connect(self, judge: Guard, host: str) -> None:
        """Connect; afterwards no look-up is running."""
        try:
            judge.connect(judge.inspect(f"http://{host}/"), deadline=Deadline.after(60, clock=lambda: self.now))
        finally:
            started = time.monotonic()
            while any(each._running for each in (judge._denied._known, *judge._own._known)):
                assert time.monotonic() - started < 10
                time.sleep(0.005)


def test_a_name_is_looked_up_as_it_is_and_not_in_the_search_list_unless_networks_are_opened() -> None:
    for networks, asked in (("", "admin.web."), ("10.0.0.0/8", "admin.web")):
        names = Names()
        with pytest.raises(DnsFailed):
            names.connect(names.guard(allowed_networks=networks), "admin.web")
        assert names.asked == [asked]


@pytest.mark.parametrize("address", ["8.8.4.4", "64:ff9b::8.8.4.4", "2606:4700::20"])
def test_own_address_those_of_the_interfaces_are_refused_on_every_port(address: str) -> None:
    names = Names(files_example_org=[address, "8.8.8.8"])
    names.interfaces = [ip_address(text) for text in ("127.0.0.1", "8.8.4.4", "2606:4700::20")]
    host = f"[{address}]" if ":" in address else address
    for tried in (f"{host}:8080", "files.example.org"):
        with pytest.raises(AddressRefused, match="an address of urlsum itself"):
            names.connect(names.guard(), tried)
    assert names.dialled == []
    opened = names.guard(allowed_networks="8.8.4.4/32,64:ff9b::/96,2606:4700::20/128")
    with pytest.raises(ConnectFailed, match="Connection refused"):
        names.connect(opened, f"{host}:8080")


def test_own_address_a_new_one_is_noticed_and_a_list_that_fails_changes_nothing() -> None:
    names = Names(files_example_org=["8.8.4.4"])
    names.interfaces = OSError(1, "Operation not permitted")
    judge = names.guard()
    with pytest.raises(ConnectFailed, match="cannot list the addresses of this machine"):
        names.connect(judge, "files.example.org")
    names.interfaces = [ip_address("192.168.0.2")]
    with pytest.raises(ConnectFailed, match="Connection refused"):
        names.connect(judge, "files.example.org")
    for names.now, names.interfaces in (
        (LISTED_SECONDS, [ip_address("8.8.4.4")]),
        (2 * LISTED_SECONDS, OSError(1, "Operation not permitted")),
    ):
        with pytest.raises(AddressRefused, match="urlsum itself"):
            names.connect(judge, "files.example.org")


@pytest.mark.parametrize("on_lambda", [{}, {"aws_lambda_function_name": "hash-worker"}], ids=["here", "Lambda"])
@pytest.mark.parametrize("host", ["alias.example.org", "8.8.4.4", "8.8.4.4:8080", "[64:ff9b::8.8.4.4]"])
def test_own_address_that_of_public_url_is_refused_by_every_name(host: str, on_lambda: dict[str, str]) -> None:
    names = Names(urlsum_example_org=["8.8.4.4"], alias_example_org=["8.8.8.8", "8.8.4.4"])
    public_url = "https://urlsum.example.org/app"
    with pytest.raises(AddressRefused, match="urlsum itself"):
        names.connect(names.guard(public_url=public_url, **on_lambda), host)
    for opens in ({"allowed_networks": "8.8.4.4/32,64:ff9b::/96"}, {"shared_networks": "8.8.4.0/24"}):
        judge = Names(urlsum_example_org=["8.8.4.4"], alias_example_org=["8.8.4.4"]).guard(
            public_url=public_url, **opens
        )
        with pytest.raises((ConnectFailed, DnsFailed), match=r"Connection refused|does not resolve"):
            names.connect(judge, host)


def test_own_address_nothing_public_is_reached_until_that_of_public_url_is_known() -> None:
    names = Names(urlsum_example_org=SERVFAIL, files_example_org=["8.8.8.8"])
    judge = names.guard(public_url="https://urlsum.example.org/")
    for host in ("files.example.org", "8.8.8.8"):
        with pytest.raises(ConnectFailed, match="closed until the addresses of PUBLIC_URL are known"):
            names.connect(judge, host)
    names.records["urlsum.example.org."], names.now = ["8.8.4.4"], AFTER_FAILURE_SECONDS
    with pytest.raises(ConnectFailed):
        names.connect(judge, "files.example.org")
    with pytest.raises(ConnectFailed, match="Connection refused"):
        names.connect(judge, "files.example.org")
    with pytest.raises(AddressRefused):
        names.connect(judge, "8.8.4.4")


@pytest.mark.parametrize(
    ("public_url", "opens"),
    [
        ("http://urlsum:8000", {}),
        ("http://urlsum.local", {}),
        ("https://missing.example.org", {}),
        ("https://urlsum.example.org", {"allowed_networks": "8.8.8.8/32"}),
    ],
)
def test_own_address_a_public_url_without_a_public_address_closes_nothing(
    public_url: str, opens: dict[str, str]
) -> None:
    names = Names(urlsum_local=SERVFAIL, urlsum_example_org=SERVFAIL)
    names.records["urlsum."] = names.records["urlsum.example.org"] = SERVFAIL
    with pytest.raises(ConnectFailed, match="Connection refused"):
        names.connect(names.guard(public_url=public_url, **opens), "8.8.8.8")


def test_own_address_follows_public_url_and_keeps_what_it_knew() -> None:
    names = Names(urlsum_example_org=["8.8.4.4"])
    judge = names.guard(public_url="https://urlsum.example.org/")
    with pytest.raises(AddressRefused):
        names.connect(judge, "8.8.4.4")
    for record, host in ((["8.8.4.5"], "8.8.4.5"), (SERVFAIL, "8.8.4.4"), (SERVFAIL, "8.8.4.5")):
        names.records["urlsum.example.org."] = record
        names.now += 300.0
        with pytest.raises((ConnectFailed, AddressRefused)):
            names.connect(judge, "1.1.1.1")
        with pytest.raises(AddressRefused, match="urlsum itself"):
            names.connect(judge, host)


@pytest.mark.parametrize("host", ["alias.example.net", "8.8.4.4", "[64:ff9b::8.8.4.4]", "8.8.4.6"])
def test_a_denied_name_denies_its_addresses_under_every_name(host: str) -> None:
    names = Names(files_example_org=["8.8.4.4"], example_com=["8.8.4.6"], alias_example_net=["8.8.8.8", "8.8.4.4"])
    blocked_hosts = "files.example.org,.example.com"
    for opened in ({}, {"allowed_networks": EVERYTHING}):
        if opened:  # names are looked up without the root's dot then
            names.records = {name.removesuffix("."): record for name, record in names.records.items()}
        with pytest.raises(AddressRefused, match="a host on the deny list of this service"):
            names.connect(names.guard(blocked_hosts=blocked_hosts, **opened), host)
    shared = Names(files_example_org=["8.8.4.4"], example_com=["8.8.4.6"], alias_example_net=["8.8.4.4"])
    with pytest.raises(ConnectFailed, match="Connection refused"):
        shared.connect(shared.guard(blocked_hosts=blocked_hosts, shared_networks="8.8.4.0/24"), host)


def test_a_denied_name_keeps_its_addresses_while_it_does_not_resolve_and_never_closes_the_service() -> None:
    names = Names(files_example_org=["8.8.4.4"], lame_example_org=SERVFAIL)
    judge = names.guard(blocked_hosts="files.example.org,lame.example.org")
    with pytest.raises(ConnectFailed, match="Connection refused"):
        names.connect(judge, "8.8.8.8")
    names.records["files.example.org."], names.now = SERVFAIL, 10_000.0
    with pytest.raises(AddressRefused):
        names.connect(judge, "8.8.4.4")
    with pytest.raises(AddressRefused):
        names.connect(judge, "8.8.4.4")
    assert names.asked.count("files.example.org.") == 2


def test_what_a_look_up_showed_is_no_part_of_what_needs_none() -> None:
    names = Names(urlsum_example_org=["8.8.4.4"])
    judge = names.guard(public_url="https://urlsum.example.org/", blocked_hosts="urlsum.example.org")
    with pytest.raises(AddressRefused):
        names.connect(judge, "8.8.4.4")
    assert judge.inspect("http://8.8.4.4/").host == "8.8.4.4"
