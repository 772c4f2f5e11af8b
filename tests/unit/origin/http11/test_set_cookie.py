"""Set-Cookie as RFC 6265, 5.2 reads it, and its dates."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from urlsum.origin.http11.set_cookie import canonical, cookie_date

HOST = "files.example.org"
EXPIRY = 784_111_777  # RFC 9110, 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "sun 6 november 1994 8:49:37",
        "08:49:37 1994 nov 06",
        "6nd Nov 94 08:49:37x",
        '"Sun, 06 Nov 1994 08:49:37 GMT"',
        "Sun, 06 Nov 1994 08:49:37 +0100",  # no zone is read
    ],
)
def test_a_date_is_read_in_every_usual_form(text: str) -> None:
    assert cookie_date(text) == EXPIRY


@pytest.mark.parametrize("month", range(1, 13))
def test_each_month_is_known_by_its_first_three_letters(month: int) -> None:
    day = datetime(1994, month, 6, 8, 49, 37, tzinfo=UTC)
    for name in (day.strftime("%b"), day.strftime("%B"), day.strftime("%b").upper(), day.strftime("%b").lower()):
        assert cookie_date(f"06 {name} 1994 08:49:37") == day.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "0",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994",
        "06 Nov 08:49:37",
        "Nov 1994 08:49:37",
        "06 1994 08:49:37",
        "31 Feb 1994 08:49:37",
        "00 Nov 1994 08:49:37",
        "06 Nov 1600 08:49:37",
        "06 Nov 19941 08:49:37",
        "06 Nov 1994 24:49:37",
        "06 Nov 1994 08:60:37",
        "06 Nov 1994 08:49:60",
        "06 Nov 1994 08:49",
        "06 Nov 1994 \u0661\u0662:49:37",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert cookie_date(text) is None


@pytest.mark.parametrize(
    ("year", "date"),
    [("69", "2069"), ("70", "1970"), ("99", "1999"), ("00", "2000"), ("0069", "2069"), ("1601", "1601")],
)
def test_two_digits_of_a_year_mean_1970_to_2069(year: str, date: str) -> None:
    assert cookie_date(f"06 Nov {year} 08:49:37") == cookie_date(f"06 Nov {date} 08:49:37") is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", "a=1"),
        (" a = 1 ", "a=1"),
        ("a=b=c", "a=b=c"),
        ("a", "a"),
        ("=1", None),
        ("", None),
        (";Path=/", None),
        ("a=1; HttpOnly; SameSite=Lax; Partitioned; Version=1; Port; Comment=x", "a=1"),
        ("a=1;secure;PATH=/x", "a=1; Path=/x; Secure"),
        ("a=1; Secure=0", "a=1; Secure"),
        ("a=1; Max-Age=60", "a=1; Max-Age=60"),
        ("a=1; Max-Age=-60", "a=1; Max-Age=0"),
        ("a=1; Max-Age=0060", "a=1; Max-Age=60"),
        ("a=1; Max-Age=60; Max-Age=70", "a=1; Max-Age=70"),
        ("a=1; Max-Age=60; Max-Age=x", "a=1; Max-Age=60"),
        ("a=1; Max-Age=+60", "a=1"),
        ("a=1; Max-Age=1_0", "a=1"),
        ("a=1; Max-Age=6.5", "a=1"),
        ("a=1; Max-Age=-", "a=1"),
        ("a=1; Max-Age=99999999999999999999", "a=1; Max-Age=3162240000"),
        ("a=1; Expires=Sunday, 06-Nov-94 08:49:37", f"a=1; Expires={formatdate(EXPIRY, usegmt=True)}"),
        ("a=1; Expires=06 Nov 1894 08:49:37", f"a=1; Expires={formatdate(0, usegmt=True)}"),
        ("a=1; Expires=06 Nov 1994 08:49:37; Expires=x", f"a=1; Expires={formatdate(EXPIRY, usegmt=True)}"),
        ("a=1; Expires=06 Nov 1994 08:49:37; Max-Age=5", "a=1; Max-Age=5"),
        ("a=1; Path=", "a=1"),
        ("a=1; Path=x/y", "a=1"),
        ("a=1; Path=/x; Path=", "a=1"),
        ("a=1; Path=/x y%2F", "a=1; Path=/x%20y%2F"),
        ("a=1; Path=/\udcc3\udca9", "a=1; Path=/%C3%A9"),
        ("a=1; Domain=Example.ORG", "a=1; Domain=example.org"),
        ("a=1; Domain=.example.org", "a=1; Domain=example.org"),
        ("a=1; Domain=files.example.org", "a=1; Domain=files.example.org"),
        ("a=1; Domain=", "a=1"),
        ("a=1; Domain=other.org; Domain=", None),
        ("a=1; Domain=other.org", None),
        ("a=1; Domain=xample.org", None),
        ("a=1; Domain=deeper.files.example.org", None),
        ("a=1; Domain=example.org.", None),
        ("a=1; Domain=..", None),
        ("a=1; Domain=\udce9", None),
    ],
)
def test_each_attribute_comes_once_and_makes_sense(text: str, expected: str | None) -> None:
    assert canonical(text, HOST) == expected
