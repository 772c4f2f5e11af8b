"""The User-Agent says whom to ask."""

from __future__ import annotations

import re

import pytest

from urlsum import __version__
from urlsum.origin.http11.client import user_agent

# RFC 9110, 5.6.5 and 10.1.5: a product and a comment without parentheses inside.
USER_AGENT = re.compile(r"urlsum/[0-9.]+(?: \(\+[!-\x27*-\[\]-~]+\))?")


@pytest.mark.parametrize(
    ("contact", "public_url", "comment"),
    [
        (None, None, ""),
        (None, "https://urlsum.example/a", " (+https://urlsum.example/a)"),
        ("abuse@example.org", None, " (+mailto:abuse@example.org)"),
        ("abuse@example.org", "https://urlsum.example/", " (+mailto:abuse@example.org)"),
        ("https://example.org/bot?x=[1]", "https://urlsum.example/", " (+https://example.org/bot?x=[1])"),
        # A path may have what would end the comment, or begin another field.
        (None, "https://urlsum.example/a)(\\b", " (+https://urlsum.example/a%29%28%5Cb)"),
        (None, "https://urlsum.example/\xfc", " (+https://urlsum.example/%C3%BC)"),
    ],
)
def test_the_user_agent_has_the_contact_or_else_the_address_of_the_service(
    contact: str | None, public_url: str | None, comment: str
) -> None:
    text = user_agent(contact, public_url)
    assert text == f"urlsum/{__version__}{comment}"
    assert USER_AGENT.fullmatch(text)
