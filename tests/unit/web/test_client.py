"""Who the client is: by its address, by the word of proxies that are trusted, by its API key."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.requests import Request

from urlsum import api_keys
from urlsum.api_keys import ApiKeys
from urlsum.errors import InvalidRequest, KeyRefused
from urlsum.settings import Settings, parse
from urlsum.web import client as client_module
from urlsum.web.client import Client, client_of, with_key

PROXY, INNER = "10.0.0.1", "10.0.0.2"
TRUSTED = parse({"trusted_proxies": "10.0.0.0/24,2001:db8:ffff::/48,127.0.0.0/8"})
OPEN = Settings()


def request(peer: str | None, *fields: tuple[str, str], event: dict[str, Any] | None = None) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "client": None if peer is None else (peer, 4711),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
    }
    return Request(scope | ({"aws.event": event} if event else {}))


def subject(peer: str | None, *fields: tuple[str, str], settings: Settings = TRUSTED) -> str | None:
    return client_of(request(peer, *fields), settings).subject


def for_(value: str) -> tuple[str, str]:
    return ("X-Forwarded-For", value)


def forwarded(value: str) -> tuple[str, str]:
    return ("Forwarded", value)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("198.51.100.7", Client("198.51.100.7", "198.51.100.7", "198.51.100.0/24")),
        ("::ffff:198.51.100.7", Client("198.51.100.7", "198.51.100.7", "198.51.100.0/24")),
        ("2001:db8:1:2:3:4:5:6", Client("2001:db8:1:2::/64", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48")),
        ("fe80::1%eth0", Client("fe80::/64", "fe80::1", "fe80::/48")),
        (None, Client("unknown", "unknown", None)),
        ("/run/socket", Client("unknown", "unknown", None)),
    ],
)
def test_a_client_is_its_address_or_its_ipv6_network(peer: str | None, expected: Client) -> None:
    assert client_of(request(peer), OPEN) == expected


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("url", [None, "http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000/x"])
def test_a_client_on_this_machine_has_no_limits(peer: str, url: str | None) -> None:
    assert subject(peer, settings=Settings(public_url=url)) is None


def test_but_it_has_them_where_a_proxy_on_this_machine_may_speak_for_others(caplog: pytest.LogCaptureFixture) -> None:
    client_module._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert subject("127.0.0.1", for_("198.51.100.7"), settings=OPEN) == "127.0.0.1"
        assert subject("127.0.0.1", forwarded("for=198.51.100.7"), settings=OPEN) == "127.0.0.1"
    assert len(caplog.records) == 1
    assert "TRUSTED_PROXIES" in caplog.text
    # The service is published, and nothing but a proxy can have brought a request here.
    assert subject("127.0.0.1", settings=Settings(public_url="https://urlsum.example.org")) == "127.0.0.1"
    # What the trusted proxy on this machine brings is not from this machine, even if it says so.
    assert subject("127.0.0.1", for_("127.0.0.1")) == "127.0.0.1"
    assert subject("127.0.0.1", for_("198.51.100.7")) == "198.51.100.7"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
def test_nobody_else_is_believed(name: str) -> None:
    value = "198.51.100.9" if name == "X-Forwarded-For" else "for=198.51.100.9"
    for peer in ("203.0.113.5", "10.0.1.1"):
        assert subject(peer, (name, value)) == peer
        assert subject(peer, (name, value), settings=OPEN) == peer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        # What the client wrote itself stands on the left of what the proxy saw.
        ("203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (f"203.0.113.1, 198.51.100.7, {INNER}", "198.51.100.7"),
        (f"198.51.100.7 ,{INNER},\t{INNER}", "198.51.100.7"),
        # All are trusted: the outermost one is the client.
        (f"10.0.0.9, {INNER}", "10.0.0.9"),
        # What is no address: the proxy that wrote it answers.
        ("198.51.100.7, unknown", PROXY),
        (f"198.51.100.7, gibberish, {INNER}", INNER),
        ("", PROXY),
        ("198.51.100.7,", PROXY),
        ("198.51.100.256", PROXY),
        ("1" * 5000, PROXY),
    ],
)
def test_a_trusted_proxy_says_whom_it_forwards_for(value: str, expected: str) -> None:
    assert subject(PROXY, for_(value)) == expected


def test_several_fields_are_one_list() -> None:
    assert subject(PROXY, for_("203.0.113.1"), for_("198.51.100.7")) == "198.51.100.7"
    assert subject(PROXY, forwarded("for=203.0.113.1"), forwarded("for=198.51.100.7")) == "198.51.100.7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ("For=198.51.100.7;proto=http;by=203.0.113.43", "198.51.100.7"),
        ('for="198.51.100.7:80"', "198.51.100.7"),
        ('proto=https ; for="[2001:db8:1:2::9]:4711"', "2001:db8:1:2::/64"),
        ("for=203.0.113.1, for=198.51.100.7", "198.51.100.7"),
        (f"for=198.51.100.7,for={INNER};by={PROXY}", "198.51.100.7"),
        # A comma and a semicolon in quotes separate nothing: they cannot smuggle an element in.
        ('for=198.51.100.7;host="a,for=203.0.113.1"', "198.51.100.7"),
        (r'for=198.51.100.7;host="a\",for=203.0.113.1"', "198.51.100.7"),
        # Hidden, or no element at all.
        ("for=198.51.100.7, for=unknown", PROXY),
        ("for=198.51.100.7, for=_hidden", PROXY),
        ("for=198.51.100.7, proto=http", PROXY),
        ("198.51.100.7", PROXY),
        ('for="198.51.100.7', PROXY),
        ("for=198.51.100.7,", PROXY),
        ("", PROXY),
    ],
)
def test_the_standard_field_is_read_too(value: str, expected: str) -> None:
    assert subject(PROXY, forwarded(value)) == expected


def test_where_the_two_fields_differ_the_proxy_itself_answers() -> None:
    """The client wrote one of them, and nothing tells which."""
    assert subject(PROXY, for_("198.51.100.7"), forwarded("for=203.0.113.1")) == PROXY
    assert subject(PROXY, for_("198.51.100.7"), forwarded("for=198.51.100.7")) == "198.51.100.7"


def test_on_aws_the_gateway_says_who_the_client_is() -> None:
    event = {"requestContext": {"http": {"sourceIp": "198.51.100.7"}}}
    fields = (for_("203.0.113.1"), forwarded("for=203.0.113.1"))
    trusting_all = parse({"trusted_proxies": "0.0.0.0/0,::/0"})
    for settings in (OPEN, TRUSTED, trusting_all):
        assert client_of(request("127.0.0.1", *fields, event=event), settings).subject == "198.51.100.7"


TOKEN, LAB = api_keys.make("lab", ("day=5",))
KEYED = Settings(api_keys=ApiKeys([LAB]))
CLOSED = Settings(api_keys=ApiKeys([LAB]), require_api_key=True)
ANYBODY = Client("198.51.100.7", "198.51.100.7", "198.51.100.0/24")
HOLDER = Client("key:lab", "198.51.100.7", "198.51.100.0/24", "lab")


def keyed(settings: Settings, *authorization: str, field: str | None = None) -> Client:
    sent = request("198.51.100.7", *(("Authorization", value) for value in authorization))
    return with_key(client_of(sent, settings), sent, settings, field=field)


@pytest.mark.parametrize("settings", [KEYED, CLOSED])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_holder_of_a_key_is_its_client(settings: Settings, scheme: str) -> None:
    assert keyed(settings, f"{scheme} {TOKEN}") == HOLDER
    assert keyed(settings, field=TOKEN) == HOLDER


def test_a_key_limits_its_holder_on_this_machine_too() -> None:
    sent = request("127.0.0.1", ("Authorization", f"Bearer {TOKEN}"))
    assert with_key(client_of(sent, KEYED), sent, KEYED).subject == "key:lab"


@pytest.mark.parametrize("settings", [KEYED, CLOSED])
@pytest.mark.parametrize(
    "values",
    [
        ("Bearer " + TOKEN[:-1],),
        ("Bearer " + LAB.digest,),
        ("Bearer",),
        ("Bearer ",),
        (f"Bearer {TOKEN} {TOKEN}",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        ("Bearer \xe9",),
    ],
)
def test_an_unknown_key_is_refused_even_where_none_is_needed(settings: Settings, values: tuple[str, ...]) -> None:
    with pytest.raises(KeyRefused) as caught:
        keyed(settings, *values)
    assert caught.value.unknown
    assert TOKEN not in str(caught.value)


def test_no_key_is_refused_only_where_one_is_needed() -> None:
    assert keyed(KEYED) == keyed(KEYED, "Basic dXNlcjpwYXNz") == keyed(KEYED, field="") == ANYBODY
    for values in ((), ("Basic dXNlcjpwYXNz",)):
        with pytest.raises(KeyRefused) as caught:
            keyed(CLOSED, *values)
        assert not caught.value.unknown


def test_where_there_are_no_keys_a_token_is_for_somebody_else() -> None:
    assert keyed(OPEN, "Bearer of-the-proxy") == keyed(OPEN, field="anything") == ANYBODY


def test_a_key_is_sent_once_and_well_formed() -> None:
    with pytest.raises(KeyRefused, match="once"):
        keyed(KEYED, f"Bearer {TOKEN}", field=TOKEN)
    for field in ("a b", "\xe9", "="):
        with pytest.raises(InvalidRequest) as caught:
            keyed(KEYED, field=field)
        assert caught.value.field == "key"
