"""The advice behind a failure: that of its code, unless the message shows that another fits better."""

from __future__ import annotations

import ssl

import pytest

from urlsum.cli import console
from urlsum.errors import FailureCode
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.tls_failures import failure

TARGET = parse("https://example.org/that-urlsum-does-not-know/is-not-valid-yet")
TRUST = "for a private certificate authority, set SSL_CERT_FILE to its certificate"
BROWSER = "check that the URL opens in a browser without signing in; if it does, try again later"
OPERATORS = "use another mirror, or report it to the operators of this one"
FINAL_URL = "use the final URL of the file"


@pytest.mark.parametrize("code", range(100))
def test_only_an_unknown_issuer_gets_advice_about_authorities(code: int) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    advice = console.advice(FailureCode.TLS, str(failure(TARGET, error)))
    expected = {9: "check the clock of this machine"} | dict.fromkeys((2, 18, 19, 20, 21), TRUST)
    assert advice == expected.get(code, "")


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (FailureCode.TLS, "the TLS handshake failed: the server closed the connection", ""),
        (FailureCode.HTTP, "the server is still preparing the file (status 202)", "try again later"),
        (FailureCode.HTTP, "the server answered with status 503", BROWSER),
        (FailureCode.REDIRECTS, "more than 10 redirects", FINAL_URL),
        (FailureCode.REDIRECTS, "status 302 without a Location field", OPERATORS),
        (FailureCode.REDIRECTS, "redirects to an invalid URL: the URL has no host", OPERATORS),
        (FailureCode.REDIRECTS, "a redirect loop", OPERATORS),
        (
            FailureCode.REDIRECTS,
            "a redirect loop, although its cookies were sent back: the server requires a browser session",
            FINAL_URL,
        ),
        # A phrase counts under its own code only.
        (FailureCode.PROTOCOL, "a redirect loop", OPERATORS),
        (FailureCode.BLOCKED, "that urlsum does not know", ""),
    ],
)
def test_the_message_decides_where_the_code_does_not(code: FailureCode, message: str, advice: str) -> None:
    assert console.advice(code, message) == advice
    assert console.with_advice(code, message) == (f"{message}; {advice}" if advice else message)
