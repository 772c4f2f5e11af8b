"""What pages make of values."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from urlsum.web.pages import filters
from urlsum.web.pages.filters import LONGEST_PREFILL, differences, prefill, runs
from urlsum.web.task_models import Failed, Reason

MD5 = "f4af8a0e1d1e8d3b5f4a9f6f2f3cbd9e"


def test_the_examples_are_right() -> None:
    assert doctest.testmod(filters).failed == 0


@pytest.mark.parametrize("other", [None, MD5, "0" * 32, MD5[:-1] + "0", "0" + MD5[1:]])
def test_the_runs_of_a_digest_are_the_digest(other: str | None) -> None:
    found = runs(MD5, other)
    assert "".join(digits for digits, _ in found) == MD5
    marked = [digit for digits, differ in found for digit in digits if differ]
    assert len(marked) == sum(a != b for a, b in zip(MD5, other or MD5, strict=True))
    assert [differ for _, differ in found].count(None) == 1


@pytest.mark.parametrize(("other", "typing_error"), [("0000" + MD5[4:], True), ("00000" + MD5[5:], False)])
def test_few_differences_look_like_a_typing_error(other: str, typing_error: bool) -> None:
    assert ("typing error" in differences(MD5, other)) is typing_error


def failed(url: str, expected: str | None) -> Failed:
    now = datetime.now(UTC)
    return Failed(
        id="0e4fac17-f367-4807-8c28-8a059a2f82ac",
        status="failed",
        complete=True,
        url=url,
        expected_md5=expected,
        error=Reason(code="http", message="404"),
        created_at=now,
        finished_at=now,
    )


@pytest.mark.parametrize(
    ("url", "expected", "fields"),
    [
        ("https://a.org/b?c=1&d=%20#e", MD5, {"url": ["https://a.org/b?c=1&d=%20#e"], "md5": [MD5]}),
        ("https://a.org/b", None, {"url": ["https://a.org/b"]}),
        # What the page does not show, its link does not either.
        ("https://a.org/b?\u2026", MD5, {"md5": [MD5]}),
        ("https://a.org/b?\u2026", None, {}),
        (f"https://a.org/{'%41' * LONGEST_PREFILL}", MD5, {}),
    ],
)
def test_a_link_fills_the_form_with_what_may_be_shown(
    url: str, expected: str | None, fields: dict[str, list[str]]
) -> None:
    query = prefill(failed(url, expected))
    assert parse_qs(query.removeprefix("?")) == fields
    assert len(query) <= LONGEST_PREFILL + 1
