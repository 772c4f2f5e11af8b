"""One person has one mailbox key, however the address is spelt; two people have two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urlsum.mail.address import ALIASES, IGNORED, mailbox

LOCALS = st.text("abcDEF019.+-_", min_size=1, max_size=12)
DOMAINS = st.sampled_from(
    [*ALIASES, *IGNORED, "example.org", "yahoo.co.uk", "fastmail.com", "anna.fastmail.com", "outlook.com"]
)
YANDEX = [f"yandex.{country}" for country in ("com", "by", "kz", "ua", "uz", "az", "ee", "lt", "lv", "pl")]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Anna@Example.ORG", "anna@example.org"),
        ("anna@example.org.", "anna@example.org"),
        (" anna@example.org ", "anna@example.org"),
        ("an.na@gmail.com", "anna@gmail.com"),
        ("a.n.n.a+x+y@googlemail.com", "anna@gmail.com"),
        ("anna+x@outlook.com", "anna@outlook.com"),
        ("anna+x@hotmail.co.uk", "anna@hotmail.co.uk"),
        ("anna+x@live.com", "anna@live.com"),
        ("anna+x@me.com", "anna@icloud.com"),
        ("anna@mac.com", "anna@icloud.com"),
        ("An-n_a.+x@pm.me", "anna@proton.me"),
        ("anna+x@protonmail.com", "anna@proton.me"),
        ("anna@protonmail.ch", "anna@proton.me"),
        ("anna+x@fastmail.com", "anna@fastmail.com"),
        ("shop@anna.fastmail.com", "anna@fastmail.com"),
        ("shop@anna.fastmail.fm", "anna@fastmail.fm"),
        ("anna-shop@yahoo.com", "anna@yahoo.com"),
        ("anna-shop@yahoo.co.jp", "anna@yahoo.co.jp"),
        ("anna-shop@ymail.com", "anna@ymail.com"),
        ("anna-shop@rocketmail.com", "anna@rocketmail.com"),
        ("an-na+x@ya.ru", "anna@yandex.ru"),
        *((f"an.na@{domain}", "anna@yandex.ru") for domain in YANDEX),
        ("anna+x@example.org", "anna@example.org"),
    ],
)
def test_a_mailbox_is_found_however_its_address_is_spelt(address: str, expected: str) -> None:
    assert mailbox(address) == expected


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("an.na@example.org", "anna@example.org"),
        ("an.na@outlook.com", "anna@outlook.com"),
        ("anna@outlook.com", "anna@hotmail.com"),
        ("an.na@fastmail.com", "anna@fastmail.com"),
        ("anna-lee@example.org", "anna@example.org"),
        ("anna-lee@gmail.com", "anna@gmail.com"),
        ("anna@yahoo.com", "anna@ymail.com"),
        ("anna@yahoo.example.org", "anna-lee@yahoo.example.org"),
        ("anna@notgmail.com", "anna@gmail.com"),
        ("+a@example.org", "+b@example.org"),
        ("shop@anna.fastmail.com", "shop@berta.fastmail.com"),
    ],
)
def test_two_people_have_two_mailboxes(one: str, another: str) -> None:
    assert mailbox(one) != mailbox(another)


@given(LOCALS, DOMAINS)
def test_a_key_is_its_own_key(local: str, domain: str) -> None:
    key = mailbox(f"{local}@{domain}")
    assert mailbox(key) == key
    assert key.partition("@")[0]


@given(LOCALS, DOMAINS, st.text("abc.+", min_size=1, max_size=5))
def test_no_tag_makes_another_recipient(local: str, domain: str, tag: str) -> None:
    assert mailbox(f"{local}+{tag}@{domain}") == mailbox(f"{local}@{domain}") or local.startswith("+")
