"""Why a TLS handshake failed, in words, and whether another try could end differently."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from urlsum.errors import TlsFailed, TlsUnsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urlsum.origin.target import Target

    Certificates = Sequence[Mapping[str, object]]

# The X509_V_ERR codes of OpenSSL's x509_vfy.h.
_ISSUER_UNKNOWN = frozenset({2, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_CERTIFICATE_FAULTS = {
    7: "a signature in its chain is wrong, so its issuer did not issue it",
    9: "it, or one of its chain, is not valid yet",
    10: "it, or one of its chain, has expired",
    13: "the date that it is valid from cannot be read",
    14: "the date that it expires on cannot be read",
    18: "it is self-signed, so no CA vouches for it",
    19: "its chain ends in the self-signed certificate of a CA that urlsum does not know",
    22: "its chain is too long",
    23: "its CA has revoked it",
    24: "its issuer is not a CA",
    25: "its chain is longer than one of its CAs allows",
    26: "it was not issued for servers",
    27: "its CA is not trusted for servers",
    28: "its CA is rejected",
    47: "one of its CAs may not issue certificates for this name",
    48: "one of its CAs may not issue certificates for this name",
    79: "its issuer is not a CA",
}
# Refused by the security level of OpenSSL 3 (SSL_CTX_set_security_level(3)).
_WEAK_CERTIFICATES = {
    66: "its key is too short to be safe",
    67: "the key of one of its CAs is too short to be safe",
    68: "a signature in its chain has a digest that is no longer safe, such as SHA-1 or MD5",
}
_NOT_SENT = "the server does not send its intermediate certificate"

_NO_SAFE_VERSION = "the server speaks no version of TLS that is still safe (1.2 and 1.3 are)"
_NO_SAFE_CIPHER = (
    "the server has no safe cipher in common with urlsum, wants a client certificate, or does not serve this host"
)
_NO_SAFE_SIGNATURE = "the server signs with an algorithm or a digest that is no longer safe"
_NOT_TLS = "the server does not speak TLS on this port; the URL may have to begin with http://"
_CLIENT_CERTIFICATE = "the server wants a client certificate, and urlsum has none"
# By the names of OpenSSL's sslerr.h, as ssl.SSLError.reason has them. Alerts are those of RFC 8446, 6.2.
_UNSUPPORTED = {
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": (
        "the server knows only the old, unsafe way of renegotiation (it lacks RFC 5746)"
    ),
    "DH_KEY_TOO_SMALL": "the server's Diffie-Hellman key is too short to be safe",
    "EE_KEY_TOO_SMALL": "the key of the server's certificate is too short to be safe",
    "UNSUPPORTED_PROTOCOL": _NO_SAFE_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_SAFE_VERSION,
    "VERSION_TOO_LOW": _NO_SAFE_VERSION,
    "WRONG_SSL_VERSION": _NO_SAFE_VERSION,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": _NO_SAFE_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_SAFE_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _NO_SAFE_CIPHER,
    "NO_CIPHERS_AVAILABLE": _NO_SAFE_CIPHER,
    "UNKNOWN_CIPHER_RETURNED": _NO_SAFE_CIPHER,
    "WRONG_CIPHER_RETURNED": _NO_SAFE_CIPHER,
    "WRONG_SIGNATURE_TYPE": _NO_SAFE_SIGNATURE,
    "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED": _NO_SAFE_SIGNATURE,
    "UNKNOWN_DIGEST": _NO_SAFE_SIGNATURE,
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,  # the same from OpenSSL 3.2 on
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "HTTPS_PROXY_REQUEST": _NOT_TLS,
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the host of the URL",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the server does not speak HTTP/1.1",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    # Before TLS 1.3 no alert meant "no certificate at all", so servers chose among these.
    "SSLV3_ALERT_NO_CERTIFICATE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_ACCESS_DENIED": _CLIENT_CERTIFICATE,
}
# A busy or restarting server says this, too.
_PASSING = {
    "TLSV1_ALERT_INTERNAL_ERROR": "the server reports an internal error",
    "UNEXPECTED_EOF_WHILE_READING": "the server closed the connection",
}
# "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)": a reason without a name in this Python.
_UNNAMED = re.compile(r"\[SSL\] (.+) \(_ssl\.c:[0-9]+\)")


def failure(target: Target, error: OSError | ValueError, sent: Certificates = ()) -> TlsFailed:
    """The error to raise for a handshake that ``error`` ended; ``sent`` are the server's certificates, its own first.

    A certificate that is not valid may be that of one machine behind a balancer, so another try can find a better one.
    TLS that the server does not have is TlsUnsupported.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = TlsUnsupported if error.verify_code in _WEAK_CERTIFICATES else TlsFailed
        return kind(f"{target}: the certificate is not valid: {_fault(error, target, sent)}")
    reason = _reason(error)
    if reason in _UNSUPPORTED:
        return TlsUnsupported(f"{target}: the TLS handshake failed: {_UNSUPPORTED[reason]}")
    return TlsFailed(f"{target}: the TLS handshake failed: {_PASSING.get(reason) or reason or error}")


def refusal(target: Target, error: ssl.SSLError) -> TlsFailed:
    """The error to raise when ``error`` came in place of a response.

    In TLS 1.3 a server says only after the handshake that it wants a client certificate (RFC 8446, 4.4.2.4).
    """
    reason = _reason(error)
    if _UNSUPPORTED.get(reason) == _CLIENT_CERTIFICATE:
        return TlsUnsupported(f"{target}: TLS failed: {_CLIENT_CERTIFICATE}")
    return TlsFailed(f"{target}: TLS failed: {reason or error}")


def _reason(error: OSError | ValueError) -> str:
    """OpenSSL's name of the reason; empty without one."""
    if isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "UNEXPECTED_EOF_WHILE_READING"
    if not isinstance(error, ssl.SSLError):
        return ""
    unnamed = _UNNAMED.fullmatch(str(error))
    return str(getattr(error, "reason", None) or (unnamed[1] if unnamed else "")).upper().replace(" ", "_")


def _fault(error: ssl.SSLCertVerificationError, target: Target, sent: Certificates) -> str:
    code = error.verify_code
    if code in _WRONG_NAME:
        return f"it is not valid for '{target.host}', only for other names"
    if code in _ISSUER_UNKNOWN:
        return _issuer(sent)
    return _CERTIFICATE_FAULTS.get(code) or _WEAK_CERTIFICATES.get(code) or str(error.verify_message)


def _issuer(sent: Certificates) -> str:
    """Why the server's certificate leads to no CA that urlsum knows.

    The issuer of a lone certificate may be an intermediate or a private CA. Public CAs are obliged to say where the
    certificate of the issuer can be fetched (RFC 5280, 4.2.2.1); browsers fetch it there.
    """
    if not sent:
        return f"its issuer is not known: {_NOT_SENT}, or urlsum does not know its CA"
    own, *others = sent
    if own["issuer"] in [other["subject"] for other in others]:
        more = ", or the server does not send all intermediate certificates" if others[-1].get("caIssuers") else ""
        return f"its issuer is a CA that urlsum does not know{more}"
    if others or own.get("caIssuers"):
        return f"{_NOT_SENT}, so its issuer cannot be checked"
    return f"{_NOT_SENT}, or its issuer is a private CA that urlsum does not know"
