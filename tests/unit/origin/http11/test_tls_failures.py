"""The words for failed handshakes that no server of today produces."""

from __future__ import annotations

import errno
import ssl

import pytest

from urlsum.errors import TlsUnsupported
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.tls_failures import failure, refusal

TARGET = parse("https://example.org/file")
LEAF = {"subject": "leaf", "issuer": "intermediate"}
INTERMEDIATE = {"subject": "intermediate", "issuer": "root"}
ROOT = {"subject": "root", "issuer": "root"}
JUNK = {"subject": "junk", "issuer": "another root"}
AIA = {"caIssuers": ("http://ca.example.org/ca.crt",)}

UNKNOWN = "its issuer is a CA that urlsum does not know"
MISSING_OR_PRIVATE = (
    "the server does not send its intermediate certificate, or its issuer is a private CA that urlsum does not know"
)


def invalid(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    return error


@pytest.mark.parametrize(
    ("code", "words", "final"),
    [
        (4, "a signature in its chain is unreadable", False),
        (6, "a public key in its chain is unreadable", False),
        (7, "a signature in its chain is wrong", False),
        (18, "it is self-signed by an issuer that urlsum does not know", False),
        (19, "its chain ends in the self-signed certificate of a CA that urlsum does not know", False),
        (22, "its chain is too long", False),
        (25, "its chain is longer than one of its CAs allows", False),
        (27, "its CA is not trusted for servers", False),
        (28, "its CA is rejected", False),
        *((code, "its issuer is not a CA", False) for code in (32, 37)),
        (40, "a proxy certificate issued it", False),
        *((code, "an extension in its chain is malformed", False) for code in (41, 42)),
        (43, "its chain has no policy where one of its CAs requires one", False),
        (45, "an extension in its chain is not supported by OpenSSL", False),
        (46, "its chain has addresses that one of its CAs may not use", False),
        (48, "one of its CAs may not issue certificates for this name", False),
        *((code, "a name constraint in its chain is not supported by OpenSSL", False) for code in (49, 51, 52)),
        *((code, "a signature in its chain has an unsupported", False) for code in (76, 77, 78)),
        (23, "its CA has revoked it", False),
        (9, "it or a certificate in its chain is not valid yet", False),
        (10, "it or a certificate in its chain has expired", False),
        (13, "its start date is unreadable", False),
        (14, "its expiry date is unreadable", False),
        (24, "its issuer is not a CA", False),
        (26, "it or one of its CAs was not issued for servers", False),
        (34, "a certificate in its chain has a critical extension that OpenSSL does not support", False),
        (47, "one of its CAs may not issue certificates for this name", False),
        (53, "a name constraint in its chain is not supported by OpenSSL", False),
        (62, "it was issued for other names, not for 'example.org'", False),
        (64, "it was issued for other names, not for 'example.org'", False),
        (66, "its key is too short to be safe", True),
        (67, "the key of one of its CAs is too short to be safe", True),
        (68, "a signature in its chain has a digest that is no longer safe", True),
        (79, "its issuer is not a CA", False),
        (94, "a public key in its chain has explicit curve parameters", False),
        (1, "OpenSSL says: what OpenSSL says", False),
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
        ([], MISSING_OR_PRIVATE),
        ([LEAF], MISSING_OR_PRIVATE),
        ([LEAF | AIA], MISSING_OR_PRIVATE),
        ([LEAF, LEAF], MISSING_OR_PRIVATE),
        ([LEAF, JUNK], MISSING_OR_PRIVATE),
        ([LEAF, JUNK | AIA, JUNK], MISSING_OR_PRIVATE),
        ([LEAF | AIA, ROOT], MISSING_OR_PRIVATE),
        ([LEAF, INTERMEDIATE], UNKNOWN),
        ([LEAF | AIA, INTERMEDIATE], UNKNOWN),
        ([LEAF, INTERMEDIATE, ROOT], UNKNOWN),
        ([LEAF, INTERMEDIATE, JUNK | AIA], UNKNOWN),
        ([LEAF, INTERMEDIATE | AIA], f"{UNKNOWN}, or the server does not send all intermediate certificates"),
        ([LEAF, INTERMEDIATE | AIA, JUNK], f"{UNKNOWN}, or the server does not send all intermediate certificates"),
        ([LEAF, ROOT | AIA, INTERMEDIATE], f"{UNKNOWN}, or the server does not send all intermediate certificates"),
    ],
)
def test_an_unknown_issuer_and_a_missing_one_have_different_words(
    code: int, sent: list[dict[str, object]], words: str
) -> None:
    assert str(failure(TARGET, invalid(code), sent)) == (
        f"https://example.org/file: the certificate is not valid: {words}"
    )


def test_a_reason_without_a_name_in_python_is_read_from_openssl() -> None:
    unnamed = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    assert "the server does not speak HTTP/1.1" in str(failure(TARGET, unnamed))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SSLV3_ALERT_UNEXPECTED_MESSAGE", "the server broke off the handshake (unexpected_message)"),
        ("SSLV3_ALERT_BAD_RECORD_MAC", "the server broke off the handshake (bad_record_mac)"),
        ("TLSV1_ALERT_RECORD_OVERFLOW", "the server broke off the handshake (record_overflow)"),
        ("SSLV3_ALERT_ILLEGAL_PARAMETER", "the server broke off the handshake (illegal_parameter)"),
        ("TLSV1_ALERT_USER_CANCELLED", "the server broke off the handshake (user_canceled)"),
        ("TLSV13_ALERT_MISSING_EXTENSION", "the server broke off the handshake (missing_extension)"),
        ("TLSV1_UNSUPPORTED_EXTENSION", "the server broke off the handshake (unsupported_extension)"),
        ("UNKNOWN_ERROR", "the server sent an unknown alert"),
        ("LENGTH_MISMATCH", "OpenSSL rejected what the server sent (length mismatch)"),
    ],
)
def test_a_rare_reason_keeps_the_name_of_its_rfc_and_none_of_openssl(name: str, words: str) -> None:
    error = failure(TARGET, ssl.SSLError(1, f"[SSL] {name.lower().replace('_', ' ')} (_ssl.c:1006)"))
    assert str(error) == f"https://example.org/file: the TLS handshake failed: {words}"
    assert not isinstance(error, TlsUnsupported)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sslv3 alert handshake failure", "the server broke off the connection (handshake_failure)"),
        ("tlsv1 alert decode error", "the server broke off the connection (decode_error)"),
        ("tlsv1 alert internal error", "the server reports an internal error"),
        ("decryption failed or bad record mac", "OpenSSL rejected what the server sent (decryption failed or bad"),
    ],
)
def test_a_failure_after_the_handshake_has_words_too(text: str, words: str) -> None:
    error = refusal(TARGET, ssl.SSLError(1, f"[SSL] {text} (_ssl.c:1006)"))
    assert str(error).startswith(f"https://example.org/file: TLS failed: {words}")


def test_an_error_of_the_network_is_named_without_its_number() -> None:
    error = failure(TARGET, OSError(errno.EHOSTUNREACH, "No route to host"))
    assert str(error).endswith("the TLS handshake failed: No route to host")


def test_after_the_handshake_only_a_missing_client_certificate_is_final() -> None:
    for text, final in (("tlsv13 alert certificate required", True), ("record layer failure", False)):
        error = refusal(TARGET, ssl.SSLError(1, f"[SSL] {text} (_ssl.c:1006)"))
        assert isinstance(error, TlsUnsupported) == final


def test_a_name_that_no_certificate_can_carry_is_a_tls_failure() -> None:
    words = "the TLS handshake failed: no certificate can carry the name of the host"
    assert str(failure(TARGET, ValueError("bad name"))).endswith(words)
