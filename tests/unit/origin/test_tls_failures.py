"""The words for failed handshakes that no server of today produces."""

from __future__ import annotations

import ssl

import pytest

from urlsum.errors import TlsUnsupported
from urlsum.origin.target import parse
from urlsum.origin.tls_failures import failure, refusal

TARGET = parse("https://example.org/file")
LEAF = {"subject": "leaf", "issuer": "intermediate"}
INTERMEDIATE = {"subject": "intermediate", "issuer": "root"}
AIA = {"caIssuers": ("http://ca.example.org/ca.crt",)}


def invalid(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    return error


@pytest.mark.parametrize(
    ("code", "words", "final"),
    [
        (7, "a signature in its chain is wrong", False),
        (23, "its CA has revoked it", False),
        (26, "it was not issued for servers", False),
        (64, "it is not valid for 'example.org'", False),
        (67, "the key of one of its CAs is too short to be safe", True),
        (68, "a signature in its chain has a digest that is no longer safe", True),
        (79, "its issuer is not a CA", False),
        (1, "what OpenSSL says", False),
    ],
)
def test_a_certificate_is_named_by_its_code(code: int, words: str, final: bool) -> None:
    error = failure(TARGET, invalid(code))
    assert str(error).startswith(f"https://example.org/file: the certificate is not valid: {words}")
    assert isinstance(error, TlsUnsupported) == final


@pytest.mark.parametrize("code", [2, 20, 21])
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([], "its issuer is not known: the server does not send its intermediate certificate, or urlsum does not know"),
        ([LEAF], "the server does not send its intermediate certificate, or its issuer is a private CA that urlsum"),
        ([LEAF | AIA], "the server does not send its intermediate certificate, so its issuer cannot be checked"),
        ([LEAF, LEAF], "the server does not send its intermediate certificate, so its issuer cannot be checked"),
        ([LEAF, INTERMEDIATE], "its issuer is a CA that urlsum does not know"),
        ([LEAF, INTERMEDIATE | AIA], "its issuer is a CA that urlsum does not know, or the server does not send all"),
    ],
)
def test_an_unknown_issuer_and_a_missing_one_have_different_words(
    code: int, sent: list[dict[str, object]], words: str
) -> None:
    assert str(failure(TARGET, invalid(code), sent)).startswith(
        f"https://example.org/file: the certificate is not valid: {words}"
    )


def test_a_reason_without_a_name_in_python_is_read_from_openssl() -> None:
    unnamed = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    assert "the server does not speak HTTP/1.1" in str(failure(TARGET, unnamed))


def test_after_the_handshake_only_a_missing_client_certificate_is_final() -> None:
    for text, final in (("tlsv13 alert certificate required", True), ("record layer failure", False)):
        error = refusal(TARGET, ssl.SSLError(1, f"[SSL] {text} (_ssl.c:1006)"))
        assert isinstance(error, TlsUnsupported) == final


def test_a_name_that_no_certificate_can_carry_is_a_tls_failure() -> None:
    assert str(failure(TARGET, ValueError("bad name"))).endswith("the TLS handshake failed: bad name")
