"""Header fields: what is understood, and that nonsense is nothing rather than an error."""

from __future__ import annotations

import time

import pytest

from urlsum.origin.http11.response import ByteRange, content_range, http_date
from urlsum.origin.http11.waits import MAX_RETRY_AFTER_SECONDS, retry_after

NOON = "Sun, 06 Nov 1994 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-0/1", ByteRange(0, 1, 1)),
        ("bytes 64-127/128", ByteRange(64, 128, 128)),
        ("BYTES 64-127/*", ByteRange(64, 128, None)),
        (None, None),
        ("", None),
        ("bytes */128", None),
        ("bytes 5-4/10", None),
        ("bytes 0-10/10", None),
        ("bytes -5-10/20", None),
        ("bytes 0-9", None),
        ("bytes=0-9/10", None),
        ("items 0-9/10", None),
        ("bytes 0-9/10, bytes 20-29/40", None),
        ("bytes 0-99999999999999999999/*", None),
        ("bytes \uff10-9/10", None),
    ],
)
def test_content_range(text: str | None, expected: ByteRange | None) -> None:
    assert content_range(text) == expected


@pytest.mark.parametrize("text", [None, "", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "0", "\xff" * 50])
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert http_date(text) is None


def test_a_date_in_the_year_10000_is_none() -> None:
    assert http_date("Fri, 31 Dec 9999 23:59:59 -0100") is None


def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert http_date("Sun Nov  6 08:49:37 1994") == http_date("Sun, 06 Nov 1994 08:49:37 -0000") == 784111777
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_all_three_forms_of_a_date_are_read(text: str) -> None:
    assert http_date(text) == 784111777


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9999999999", MAX_RETRY_AFTER_SECONDS),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", 1.5),
        ("120.", 120.0),
        (".5", None),
        ("1e9", None),
        ("inf", None),
        ("soon", None),
        ("Sun, 06 Nov 1994 12:02:00 GMT", 120.0),
        ("Sun, 06 Nov 1994 11:00:00 GMT", 0.0),
        ("Sun, 06 Nov 2094 12:00:00 GMT", MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(text: str | None, expected: float | None) -> None:
    assert retry_after(text, date=NOON, now=0.0) == expected


def test_a_retry_after_date_without_a_date_field_counts_from_this_clock() -> None:
    assert retry_after(NOON, date=None, now=(http_date(NOON) or 0) - 30) == 30
