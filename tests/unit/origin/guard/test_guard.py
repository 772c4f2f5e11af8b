"""What may be contacted: the judge and the dialler. Nobody answers here: to be dialled is to be let through."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.addresses import EVERYTHING, FORBIDDEN_V4, FORBIDDEN_V6, NEVER, PUBLIC
from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, Blocked, ConnectFailed, DeadlineReached, DnsFailed, InvalidUrl
from urlsum.origin.guard.guard import Guard, Openers
from urlsum.settings import Settings, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.origin.guard.addresses import Address


class Dialler:
    """Nobody is ever there; remembers who was called."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.called: list[tuple[str, int]] = []
        self.shares: list[float] = []
        self.now = 0.0
        self._seconds = seconds

    def __call__(self, address: Address, port: int, within: float) -> socket.socket:
        self.called.append((str(address), port))
        self.shares.append(within)
        self.now += min(within, self._seconds)
        raise ConnectionRefusedError(111, "Connection refused")

    def clock(self) -> float:
        return self.now


def guard(*answers: str | OSError, dial: Dialler | None = None, **settings: object) -> Guard:
    """A guard whose only name server gives these answers, whatever the name."""

    def resolve(host: str) -> list[str]:
        for answer in answers:
            if isinstance(answer, OSError):
                raise answer
        return [str(answer) for answer in answers]

    made = parse(settings)
    return Guard(made, resolve=resolve, dial=dial or Dialler())


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def connect(judge: Guard, url: str = "http://files.example.org/") -> None:
    judge.connect(judge.inspect(url), deadline=Deadline.after(60))


@pytest.mark.parametrize("address", FORBIDDEN_V4 + FORBIDDEN_V6)
def test_a_literal_special_address_is_blocked_without_a_look_up(address: str) -> None:
    with pytest.raises(Blocked, match=r"urlsum connects to public addresses only|no setting allows it"):
        guard().inspect(f"http://{literal(address)}/")


@pytest.mark.parametrize("address", FORBIDDEN_V4 + FORBIDDEN_V6)
def test_a_name_with_a_special_address_is_blocked(address: str) -> None:
    dial = Dialler()
    with pytest.raises(AddressRefused):
        connect(guard(address, dial=dial))
    assert dial.called == []


@pytest.mark.parametrize("address", FORBIDDEN_V4 + FORBIDDEN_V6)
def test_a_name_with_a_public_and_a_special_address_is_blocked_altogether(address: str) -> None:
    dial = Dialler()
    with pytest.raises(AddressRefused):
        connect(guard("8.8.8.8", "2001:4860:4860::8888", address, dial=dial))
    assert dial.called == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_contacted(address: str) -> None:
    dial = Dialler()
    with pytest.raises(ConnectFailed):
        connect(guard(dial=dial), f"http://{literal(address)}/")
    with pytest.raises(ConnectFailed):
        connect(guard(address, dial=dial))
    # Compared as addresses: how a mixed one is written differs between Pythons.
    assert [(ip_address(called), port) for called, port in dial.called] == [(ip_address(address), 80)] * 2


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_addresses_are_opened_by_no_setting(address: str) -> None:
    with pytest.raises(Blocked, match="no setting allows it"):
        guard(allowed_networks=EVERYTHING).inspect(f"http://{literal(address)}/")
    with pytest.raises(AddressRefused, match="no setting allows it"):
        connect(guard(address, allowed_networks=EVERYTHING))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
def test_loopback_is_opened_by_a_setting_but_never_on_lambda(address: str) -> None:
    url = f"http://{literal(address)}:9001/"
    assert guard(allowed_networks=EVERYTHING).inspect(url).port == 9001
    with pytest.raises(Blocked, match="no setting allows it"):
        guard(allowed_networks=EVERYTHING, aws_lambda_function_name="hash-worker").inspect(url)


def test_an_opened_network_opens_itself_and_nothing_else() -> None:
    judge = guard(allowed_networks="10.1.0.0/16")
    assert judge.inspect("http://10.1.2.3/").host == "10.1.2.3"
    for other in ("10.2.0.1", "127.0.0.1", "[::ffff:10.1.2.3]", "[64:ff9b::10.1.2.3]", "[2002:a01:203::]"):
        with pytest.raises(Blocked):
            judge.inspect(f"http://{other}/")


@pytest.mark.parametrize("port", [80, 443, 8080, 8443])
def test_the_usual_ports_are_contacted(port: int) -> None:
    assert guard().inspect(f"http://example.org:{port}/").port == port


@pytest.mark.parametrize("port", [1, 21, 22, 25, 53, 81, 2375, 3306, 6379, 8000, 9001, 65535])
@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "[2606:4700::1111]"])
def test_other_ports_are_blocked_before_a_look_up(port: int, host: str) -> None:
    with pytest.raises(Blocked, match=f"port {port} is not allowed; ALLOWED_PORTS has 80, 443, 8080, 8443"):
        guard().inspect(f"http://{host}:{port}/")


def test_the_ports_are_a_setting() -> None:
    assert guard(allowed_ports="80,8000").inspect("http://example.org:8000/").port == 8000
    with pytest.raises(Blocked):
        guard(allowed_ports="80,8000").inspect("https://example.org/")


def test_an_opened_network_is_contacted_on_every_port_and_the_public_on_the_usual_ones() -> None:
    def judge(address: str) -> Guard:
        return guard(address, allowed_networks="127.0.0.0/8,::1/128")

    assert judge("127.0.0.1").inspect("http://127.0.0.1:8000/").port == 8000
    with pytest.raises(ConnectFailed):
        connect(judge("127.0.0.1"), "http://localhost:8000/")
    with pytest.raises(AddressRefused, match="port 8000"):
        connect(judge("8.8.8.8"), "http://example.org:8000/")
    with pytest.raises(Blocked, match="port 8000"):
        judge("127.0.0.1").inspect("http://8.8.8.8:8000/")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "localhost.localdomain",
        "redis",
        "metadata",
        "printer.local",
        "metadata.google.internal",
        "instance-data.ec2.internal",
        "host.docker.internal",
        "gateway.docker.internal",
        "nas.home.arpa",
        "local\u00adhost",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    ],
)
def test_local_names_are_blocked_before_a_look_up(host: str) -> None:
    with pytest.raises(Blocked, match="is a local name"):
        guard("8.8.8.8").inspect(f"http://{host}/")


@pytest.mark.parametrize("host", ["localhost.example.org", "local.example.org", "internal.org", "mylocalhost.org"])
def test_names_that_only_look_local_are_not_blocked(host: str) -> None:
    assert guard().inspect(f"http://{host}/").host == host


def test_local_names_are_judged_by_their_address_once_a_network_is_opened() -> None:
    with pytest.raises(ConnectFailed):
        connect(guard("172.18.0.3", allowed_networks="172.18.0.0/16"), "http://files:9000/")
    with pytest.raises(AddressRefused):
        connect(guard("172.19.0.3", allowed_networks="172.18.0.0/16"), "http://files:9000/")


def test_a_name_is_judged_anew_at_every_connection() -> None:
    answers: Iterator[str] = itertools.chain(["8.8.8.8"], itertools.repeat("127.0.0.1"))
    judge = Guard(Settings(), resolve=lambda host: [next(answers)], dial=Dialler())
    target = judge.inspect("http://rebinding.example.org/")
    with pytest.raises(ConnectFailed):
        judge.connect(target, deadline=Deadline.after(60))
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1 is a loopback address"):
        judge.connect(target, deadline=Deadline.after(60))


def test_one_connection_makes_one_look_up() -> None:
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"]

    judge = Guard(Settings(), resolve=resolve, dial=Dialler())
    with pytest.raises(ConnectFailed):
        connect(judge, "http://Example.ORG./")
    assert asked == ["example.org."]


def test_an_address_with_a_zone_is_blocked_even_in_an_opened_network() -> None:
    with pytest.raises(AddressRefused, match="zone"):
        connect(guard("2001:4860::1%eth0", allowed_networks="2001:4860::/32"))


@pytest.mark.parametrize(
    "url", ["https://urlsum.example/check?id=1", "http://URLSUM.example./", "https://urlsum.example:8443/"]
)
def test_urlsum_does_not_fetch_from_itself(url: str) -> None:
    with pytest.raises(Blocked, match="urlsum itself"):
        guard(public_url="https://urlsum.example/app").inspect(url)


def test_at_home_only_the_port_of_urlsum_itself_is_refused() -> None:
    judge = guard(public_url="http://localhost:5000", allowed_networks="127.0.0.0/8")
    assert judge.inspect("http://localhost:8000/file").port == 8000
    with pytest.raises(Blocked, match="urlsum itself"):
        judge.inspect("http://localhost:5000/check")


@pytest.mark.parametrize(
    ("entries", "host"),
    [
        ("files.example.org", "files.example.org"),
        ("FILES.example.org.", "files.example.ORG."),
        (".example.org", "files.example.org"),
        (".example.org", "a.b.example.org"),
        (".example.org", "example.org"),
        ("other.example, .example.org", "example.org"),
        ("xn--mnchen-3ya.de", "münchen.de"),
        ("8.8.8.8", "8.8.8.8"),
        ("8.8.0.0/16", "8.8.8.8"),
        ("8.8.0.0/16", "[64:ff9b::8.8.8.8]"),
        ("2606:4700::/32", "[2606:4700::1111]"),
    ],
)
def test_a_denied_host_is_blocked_before_a_look_up(entries: str, host: str) -> None:
    for opened in ("", EVERYTHING):
        with pytest.raises(Blocked, match="BLOCKED_HOSTS"):
            guard(blocked_hosts=entries, allowed_networks=opened).inspect(f"http://{host}/")


@pytest.mark.parametrize(
    "host", ["example.org", "a.files.example.org", "myfiles.example.org", "9.8.8.8", "files.example"]
)
def test_a_deny_list_denies_nothing_else(host: str) -> None:
    assert guard(blocked_hosts="files.example.org,8.8.0.0/16").inspect(f"http://{host}/").host == host


def test_a_suffix_ends_at_a_label() -> None:
    assert guard(blocked_hosts=".example.org").inspect("http://notexample.org/").host == "notexample.org"


def test_a_name_with_one_denied_address_is_blocked() -> None:
    dial = Dialler()
    with pytest.raises(AddressRefused, match=r"8\.8\.8\.8 .*BLOCKED_HOSTS"):
        connect(guard("1.1.1.1", "8.8.8.8", dial=dial, blocked_hosts="8.8.8.0/24"))
    assert dial.called == []


def test_a_public_url_that_breaks_the_grammar_takes_nothing_down() -> None:
    assert guard(public_url="http://user@host/").inspect("http://example.org/").host == "example.org"


def test_bad_grammar_is_the_callers_mistake_and_not_blocked() -> None:
    with pytest.raises(InvalidUrl):
        guard().inspect("http://2130706433/")


def test_a_name_that_does_not_resolve_is_a_dns_failure() -> None:
    with pytest.raises(DnsFailed, match=r"files\.example\.org does not resolve: Name or service not known"):
        connect(guard(socket.gaierror(socket.EAI_NONAME, "Name or service not known")))


def test_a_name_without_addresses_is_a_dns_failure() -> None:
    with pytest.raises(DnsFailed, match="has no address"):
        connect(guard())


def test_an_answer_that_is_no_address_is_a_dns_failure() -> None:
    with pytest.raises(DnsFailed, match="does not resolve: 'not-an-address' does not appear to be an IPv4 or IPv6"):
        connect(guard("not-an-address"))


def test_a_hanging_look_up_ends_with_the_connect_time_out() -> None:
    release = threading.Event()
    judge = Guard(Settings(connect_timeout=0.1), resolve=lambda host: [str(release.wait(30))])
    started = time.monotonic()
    try:
        with pytest.raises(DnsFailed, match="no answer within"):
            connect(judge)
        assert time.monotonic() - started < 5
        # A process that ends does not wait for it.
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "resolve files.example.org."] == [
            True
        ]
    finally:
        release.set()


def test_the_deadline_inside_a_look_up_is_not_the_origins_failure() -> None:
    release = threading.Event()
    judge = Guard(Settings(), resolve=lambda host: [str(release.wait(30))])
    try:
        with pytest.raises(DeadlineReached):
            judge.connect(judge.inspect("http://example.org/"), deadline=Deadline.after(0.1))
    finally:
        release.set()


def test_a_deadline_that_has_passed_opens_nothing() -> None:
    judge = guard("8.8.8.8")
    with pytest.raises(DeadlineReached):
        judge.connect(judge.inspect("http://8.8.8.8/"), deadline=Deadline.after(-1))


def test_all_judged_addresses_are_tried_in_their_order() -> None:
    dial = Dialler()
    with pytest.raises(ConnectFailed, match=r"2606:4700::1, 1\.1\.1\.1 on port 443: Connection refused") as caught:
        connect(guard("2606:4700::1", "1.1.1.1", dial=dial), "https://example.org/")
    assert dial.called == [("2606:4700::1", 443), ("1.1.1.1", 443)]
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_the_last_reason_is_told_whatever_the_system_calls_it() -> None:
    def dial(address: Address, port: int, within: float) -> socket.socket:
        raise OSError("no route")

    judge = Guard(Settings(), resolve=lambda host: ["8.8.8.8"], dial=dial)
    words = r"could not connect to 8\.8\.8\.8 on port 80: no route"
    with pytest.raises(ConnectFailed, match=rf"^http://example.org/: {words}$"):
        connect(judge, "http://example.org/")


def test_silent_addresses_share_the_connect_time_out() -> None:
    dial = Dialler(seconds=60.0)
    judge = guard("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", dial=dial, connect_timeout=10.0)
    with pytest.raises(ConnectFailed):
        judge.connect(judge.inspect("http://example.org/"), deadline=Deadline(100.0, dial.clock))
    assert dial.shares == [2.5, 2.5, 2.5, 2.5]
    assert dial.now == 10.0


def test_a_deadline_among_silent_addresses_is_not_the_origins_failure() -> None:
    dial = Dialler(seconds=60.0)
    judge = guard("1.1.1.1", "8.8.8.8", dial=dial, connect_timeout=10.0)
    with pytest.raises(DeadlineReached):
        judge.connect(judge.inspect("http://example.org/"), deadline=Deadline(4.0, dial.clock))
    assert dial.shares == [2.0, 2.0]


def test_a_thousand_addresses_are_all_judged_and_few_are_tried() -> None:
    dial = Dialler()
    answers = [f"8.8.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    with pytest.raises(ConnectFailed):
        connect(guard(*answers, dial=dial))
    assert len(dial.called) == 8
    with pytest.raises(AddressRefused):
        connect(guard(*answers, "10.0.0.1", dial=dial))
    assert len(dial.called) == 8


# --- Private addresses that the command's user opens ------------------------------------------------------------------


def private_guard(*answers: str, dial: Dialler | None = None, **settings: object) -> Guard:
    """The guard of the command with ``--allow-private``; every name has these addresses."""
    openers = Openers("--allow-private", "URLSUM_ALLOWED_NETWORKS", "URLSUM_ALLOWED_PORTS")
    made = parse(settings)
    return Guard(made, allow_private=True, openers=openers, resolve=lambda host: list(answers), dial=dial or Dialler())


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd12::1"])
def test_the_flag_opens_private_addresses_on_every_port(address: str) -> None:
    dial = Dialler()
    for url in (f"http://{literal(address)}:9001/", "http://nas:9001/", "http://nas.local:9001/"):
        with pytest.raises(ConnectFailed):
            connect(private_guard(address, dial=dial), url)
    assert [ip_address(called) for called, _ in dial.called] == [ip_address(address)] * 3


def test_a_name_that_the_flag_opens_may_be_short() -> None:
    # With the root's dot the resolver would not look in its search list.
    judge = Guard(
        Settings(),
        allow_private=True,
        resolve={"nas": ["10.1.2.3"], "ipv4only.arpa.": []}.__getitem__,
        dial=Dialler(),
    )
    with pytest.raises(ConnectFailed, match=r"could not connect to 10\.1\.2\.3"):
        connect(judge, "http://nas/")


@pytest.mark.parametrize("address", NEVER)
def test_the_flag_opens_no_metadata_and_no_link_local_address(address: str) -> None:
    dial = Dialler()
    with pytest.raises(Blocked, match="no setting allows it"):
        connect(private_guard(dial=dial), f"http://{literal(address)}/")
    with pytest.raises(AddressRefused, match="no setting allows it"):
        connect(private_guard(address, dial=dial))
    assert dial.called == []


def test_the_flag_opens_no_port_of_a_public_address() -> None:
    with pytest.raises(Blocked, match="port 25 is not allowed; URLSUM_ALLOWED_PORTS has"):
        connect(private_guard(), "http://8.8.8.8:25/")
    with pytest.raises(AddressRefused, match="port 25 is not allowed"):
        connect(private_guard("8.8.8.8"), "http://files.example.org:25/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fd12::1"])
def test_a_redirect_from_a_public_address_stays_closed_in_spite_of_the_flag(address: str) -> None:
    dial = Dialler()
    judge = private_guard(address, dial=dial)
    typed = judge.inspect("http://files.example.org/")
    assert not judge.may_stay_private(typed, ip_address("8.8.8.8"))
    with pytest.raises(Blocked, match="URLSUM_ALLOWED_NETWORKS allows others"):
        judge.inspect(f"http://{literal(address)}/", redirect=True)
    with pytest.raises(Blocked, match="URLSUM_ALLOWED_NETWORKS allows others"):
        judge.inspect("http://nas/", redirect=True)
    target = judge.inspect("http://inside.example.org/", redirect=True)
    with pytest.raises(AddressRefused):
        judge.connect(target, deadline=Deadline.after(60))
    # Where it leads to another public address, and that one to a private one: as closed.
    assert not judge.may_stay_private(target, ip_address(address))
    assert dial.called == []


def test_a_redirect_from_a_private_address_is_as_open_as_the_url() -> None:
    judge = private_guard("10.1.2.3")
    typed = judge.inspect("http://nas/")
    assert judge.may_stay_private(typed, ip_address("10.1.2.3"))
    assert judge.inspect("http://10.1.2.4:9001/", redirect=True, private=True).private


def test_networks_that_are_allowed_stay_open_to_redirects() -> None:
    judge = private_guard("10.1.2.3", allowed_networks="10.0.0.0/8")
    assert judge.inspect("http://10.1.2.3:9001/", redirect=True).port == 9001


def test_without_the_flag_its_name_is_in_the_refusal() -> None:
    openers = Openers("--allow-private", "URLSUM_ALLOWED_NETWORKS", "URLSUM_ALLOWED_PORTS")
    judge = Guard(Settings(), openers=openers, resolve=lambda host: ["10.1.2.3"], dial=Dialler())
    for url in ("http://10.1.2.3/", "http://nas/", "http://inside.example.org/"):
        with pytest.raises((Blocked, AddressRefused), match="--allow-private allows others"):
            connect(judge, url)
