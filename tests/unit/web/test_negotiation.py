from __future__ import annotations

import pytest
from starlette.requests import Request

from urlsum.web.negotiation import wants_page

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


def wanted(*accept: str) -> bool:
    headers = [(b"accept", value.encode("latin-1")) for value in accept]
    return wants_page(Request({"type": "http", "headers": headers}))


@pytest.mark.parametrize(
    "accept",
    [
        FIREFOX,
        CHROME,
        "text/html",
        "TEXT/HTML",
        "text/*",
        "text/html;charset=utf-8",
        "text/html;level=1;q=0.4, */*;q=0.3",
        "text/html, application/json;q=0.9",
        "application/json;q=0.5,text/html ; q=0.501",
        "application/json;q=0, */*",
        ", ,text/html,",
    ],
)
def test_who_likes_html_better_gets_a_page(accept: str) -> None:
    assert wanted(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/json",
        "application/problem+json",
        "application/json, text/html",
        "text/html;q=0.9, application/json",
        "text/html;q=0.5, application/problem+json;q=0.6",
        "text/html;q=0, */*",
        "text/html;q=0",
        "text/html;q=0.000, image/png",
        "image/png",
        "text/plain",
        "text/html;q=0.8, application/*;q=0.9",
        "text/*;q=0.2, */*;q=0.3",
        "html",
        "text/html;q=0.1, */*;q=0.2",
    ],
)
def test_everybody_else_gets_json(accept: str) -> None:
    assert not wanted(accept)


def test_without_the_header_it_is_json() -> None:
    assert not wanted()


def test_several_headers_are_one() -> None:  # RFC 9110, 5.3
    assert wanted("application/json;q=0.5", "text/html")
    assert not wanted("text/html;q=0.5", "application/json")


@pytest.mark.parametrize("quality", ["2", "-1", "0.1234", "nan", "", "1e0", "\N{ARABIC-INDIC DIGIT ZERO}"])
def test_what_is_no_q_value_is_ignored(quality: str) -> None:
    accept = f"text/html;q={quality}".encode()
    request = Request({"type": "http", "headers": [(b"accept", accept + b", application/json;q=0.9")]})
    assert wants_page(request)
