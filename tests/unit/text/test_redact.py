from __future__ import annotations

import pytest

from urlsum.errors import FailureCode
from urlsum.task import Failure
from urlsum.text.redact import CAUSES, public_failure


def shown(message: str, url: str) -> str:
    return public_failure(Failure(FailureCode.HTTP, message), url).message


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
def test_the_address_that_was_submitted_is_no_secret(host: str) -> None:
    message = f"http://{host}:8080/a: the server answered with status 404"
    assert shown(message, f"http://{host}:8080/a") == message


@pytest.mark.parametrize("url", ["http://a.example/", "http://a.example/192.0.2.1?192.0.2.1", "http://192.0.2.11/"])
def test_an_address_that_a_name_resolved_to_is_hidden_whatever_else_the_url_says(url: str) -> None:
    assert shown("a.example (192.0.2.1) answered 404", url) == "a.example ((address)) answered 404"


@pytest.mark.parametrize(
    ("code", "fact"),
    [
        # Each is a way in which urlsum.origin ends a task under this code.
        (FailureCode.INCOMPLETE, "the connection was cut"),
        (FailureCode.INCOMPLETE, "the server reported an error after the last byte"),
        (FailureCode.TLS, "certificate is not valid"),
        (FailureCode.TLS, "no secure TLS on this port"),
        (FailureCode.TLS, "requires a client certificate"),
        (FailureCode.TLS, "broke off the connection"),
        (FailureCode.HTTP, "moved"),
        (FailureCode.HTTP, "require a login"),
        (FailureCode.HTTP, "in preparation"),
        (FailureCode.HTTP, "overloaded"),
        (FailureCode.REDIRECTS, "too many redirects"),
        (FailureCode.REDIRECTS, "leads nowhere"),
    ],
)
def test_a_cause_covers_every_way_in_which_its_code_comes_about(code: FailureCode, fact: str) -> None:
    assert fact in CAUSES[code][0]


def test_a_cause_and_its_advice_are_sentences() -> None:
    for words in (words for pair in CAUSES.values() for words in pair):
        assert words[0].isupper()
        assert words.endswith(".")
        assert "whoever" not in words
