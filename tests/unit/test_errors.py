"""The texts of errors: urlsum's own are bounded, and what an origin sent is kept apart, escaped and bounded."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from urlsum.errors import Blocked, ConnectFailed, DnsFailed, HttpFailed, Incomplete, ProtocolViolated, escaped
from urlsum.origin.guard.url import parse
from urlsum.origin.version.refusals import RangeRefused


def test_an_error_is_bounded_where_it_is_made() -> None:
    error = ProtocolViolated("x\n" * 100_000, raw=b"\x00" * 65_000)
    assert len(str(error)) == 400
    assert "\n" not in str(error)
    assert len(error.raw) == 300


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain words", "plain words"),
        (b"\x1b[2J\r\n\x07", r"\x1b[2J\r\n\x07"),
        ("gr\xfc\xdfe \u202etxt.exe".encode(), r"grüße \u202etxt.exe"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("lone \udc80", r"lone \udc80"),
        ("x" * 301, "x" * 299 + "…"),
        ("x" * 300, "x" * 300),
        (("\u4e16" * 301).encode(), "\u4e16" * 299 + "…"),
    ],
)
def test_what_an_origin_sent_is_escaped(raw: bytes | str, shown: str) -> None:
    assert escaped(raw) == shown
    assert escaped(raw).isprintable()


def test_the_detail_is_where_and_what_was_sent_and_survives_another_error_around_it() -> None:
    inner = HttpFailed(404, "the server answered with status 404", raw="go\x07away")
    inner.at = "https://b.example/y"
    refused = RangeRefused(inner)
    refused.__cause__ = inner
    outer = Incomplete(str(refused))
    outer.__cause__ = refused
    assert outer.detail == r"at https://b.example/y, the server sent: go\x07away"
    assert str(outer) == "the server answered with status 404"
    assert Incomplete("cut").detail == ""


@pytest.mark.parametrize("kind", [Blocked, ConnectFailed, DnsFailed])
def test_what_the_guard_says_is_in_no_text_with_another_code(kind: type[Blocked | ConnectFailed | DnsFailed]) -> None:
    refused = RangeRefused(kind("http://a/: admin.corp.example: could not connect to 10.0.0.7 on port 22"))
    assert str(refused) == "a redirect leads to a host that urlsum cannot reach"


def test_the_place_of_an_error_after_a_redirect_is_the_submitted_url() -> None:
    first = parse("https://a.example/x?secret=1")
    assert f"{first}: cut" == "https://a.example/x?…: cut"
    later = replace(parse("https://evil.example/Pay-now"), redirected_from=first.url)
    assert f"{later}: cut" == "https://a.example/x?…, after a redirect: cut"
