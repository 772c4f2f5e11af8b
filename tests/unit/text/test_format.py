"""How numbers and URLs are written for people."""

from __future__ import annotations

import pytest

from urlsum.text.format import human_bytes, shown_url


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (13314398618, "12.4 GiB"),
        (5 * 2**40, "5.0 TiB"),
        (2**70, "1024.0 EiB"),
    ],
)
def test_bytes_are_shown_with_one_decimal_in_the_right_unit(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_a_query_is_not_shown() -> None:
    assert shown_url("https://host/a?secret") == "https://host/a?…"


def test_a_long_url_is_cut() -> None:
    assert shown_url("https://host/" + "a" * 1000) == "https://host/" + "a" * 187 + "…"
