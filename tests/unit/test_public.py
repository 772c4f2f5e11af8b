from __future__ import annotations

import pytest

from urlsum.errors import FailureCode
from urlsum.public import public_failure
from urlsum.task import Failure


def shown(message: str, url: str) -> str:
    return public_failure(Failure(FailureCode.HTTP, message), url).message


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
def test_the_address_that_was_submitted_is_no_secret(host: str) -> None:
    message = f"http://{host}:8080/a: the origin answered with status 404"
    assert shown(message, f"http://{host}:8080/a") == message


@pytest.mark.parametrize("url", ["http://a.example/", "http://a.example/192.0.2.1?192.0.2.1", "http://192.0.2.11/"])
def test_an_address_that_a_name_resolved_to_is_hidden_whatever_else_the_url_says(url: str) -> None:
    assert shown("a.example (192.0.2.1) answered 404", url) == "a.example ((address)) answered 404"
