"""Why a TLS handshake failed, in words, and whether another try could succeed."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import TlsFailed, TlsUnsupported
from urlsum.origin.http11.phrases import NOT_YET_VALID, UNKNOWN_ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urlsum.origin.guard.url import Target

    Certificates = Sequence[Mapping[str, object]]

# The X509_V_ERR codes of OpenSSL's x509_vfy.h that verifying a server can return.
_ISSUER_UNKNOWN = frozenset({2, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_NAME_NOT_ALLOWED = "one of its CAs may not issue certificates for this name"
_NAME_LIMITS_UNREADABLE = "a name constraint in its chain is not supported by OpenSSL"
_NOT_A_CA = "its issuer is not a CA"
_BAD_EXTENSION = "an extension in its chain is malformed"
_BAD_ALGORITHM = "a signature in its chain has an unsupported or contradictory algorithm"
_CERTIFICATE_FAULTS = {
    4: "a signature in its chain is unreadable",
    6: "a public key in its chain is unreadable",
    7: "a signature in its chain is wrong, so its issuer did not issue it",
    9: f"it or a certificate in its chain {NOT_YET_VALID}",
    10: "it or a certificate in its chain has expired",
    13: "its start date is unreadable",
    14: "its expiry date is unreadable",
    18: f"it is self-signed by an issuer {UNKNOWN_ISSUER}",
    19: f"its chain ends in the self-signed certificate of a CA {UNKNOWN_ISSUER}",
    22: "its chain is too long",
    23: "its CA has revoked it",
    24: _NOT_A_CA,
    25: "its chain is longer than one of its CAs allows",
    26: "it or one of its CAs was not issued for servers",
    27: "its CA is not trusted for servers",
    28: "its CA is rejected",
    32: _NOT_A_CA,
    34: "a certificate in its chain has a critical extension that OpenSSL does not support",
    37: _NOT_A_CA,
    40: "a proxy certificate issued it",
    41: _BAD_EXTENSION,
    42: _BAD_EXTENSION,
    43: "its chain has no policy where one of its CAs requires one",
    45: "an extension in its chain is not supported by OpenSSL",
    46: "its chain has addresses that one of its CAs may not use",
    47: _NAME_NOT_ALLOWED,
    48: _NAME_NOT_ALLOWED,
    49: _NAME_LIMITS_UNREADABLE,
    51: _NAME_LIMITS_UNREADABLE,
    52: _NAME_LIMITS_UNREADABLE,
    53: _NAME_LIMITS_UNREADABLE,
    76: _BAD_ALGORITHM,
    77: _BAD_ALGORITHM,
    78: _BAD_ALGORITHM,
    79: _NOT_A_CA,
    94: "a public key in its chain has explicit curve parameters, which are not allowed",
}
# Refused by the security level of OpenSSL 3 (SSL_CTX_set_security_level(3)).
_WEAK_CERTIFICATES = {
    66: "its key is too short to be safe",
    67: "the key of one of its CAs is too short to be safe",
    68: "a signature in its chain has a digest that is no longer safe, such as SHA-1 or MD5",
}

_NO_SAFE_VERSION = "the server supports neither TLS 1.2 nor TLS 1.3"
_NO_SAFE_CIPHER = "the server has no secure cipher in common with urlsum"
_REJECTED = (
    "the server rejected the handshake: no common secure cipher, a required client certificate, or an unknown host name"
)
_NO_SAFE_SIGNATURE = "the server signs with an algorithm or a digest that is no longer safe"
_NOT_TLS = "the server does not speak TLS on this port; try http:// instead"
_CLIENT_CERTIFICATE = "the server requires a client certificate, and urlsum has none"
# By the names of OpenSSL's sslerr.h, as in ssl.SSLError.reason. Alerts are those of RFC 8446, 6.2.
_UNSUPPORTED = {
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "the server supports only insecure legacy renegotiation (no RFC 5746)",
    "DH_KEY_TOO_SMALL": "the server's Diffie-Hellman key is too short to be safe",
    "EE_KEY_TOO_SMALL": "the key of the server's certificate is too short to be safe",
    "UNSUPPORTED_PROTOCOL": _NO_SAFE_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_SAFE_VERSION,
    "VERSION_TOO_LOW": _NO_SAFE_VERSION,
    "WRONG_SSL_VERSION": _NO_SAFE_VERSION,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": _NO_SAFE_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _REJECTED,
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
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_ACCESS_DENIED": _CLIENT_CERTIFICATE,
}
# A busy or restarting server sends these, too.
_TRANSIENT = {
    "TLSV1_ALERT_INTERNAL_ERROR": "the server reports an internal error",
    "UNEXPECTED_EOF_WHILE_READING": "the server closed the connection",
    "UNKNOWN_ERROR": "the server sent an unknown alert",
}
# OpenSSL's name of an alert: the version that introduced it, and its name in RFC 8446, 6, but for one letter.
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)")
_RFC_NAMES = {"user_cancelled": "user_canceled"}
# "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)": a reason without a name in this Python.
_UNNAMED = re.compile(r"\[SSL\] (.+) \(_ssl\.c:[0-9]+\)")


class Reason(Struct, frozen=True):
    """Why TLS failed; ``text`` explains it without a URL.

    ``certificate`` is True when the server's certificate is not valid, ``final`` when every other try would fail alike.
    """

    text: str
    certificate: bool = False
    final: bool = False


def reason(error: BaseException, host: str | None, sent: Certificates = ()) -> Reason:
    """Why ``error`` ended the handshake with ``host``; ``sent`` are the server's certificates, its own first.

    ``host`` is None where a redirect chose it: the text then has no name.
    A certificate that is not valid may be that of one machine behind a balancer, so another try can find a valid one.
    TLS that the server does not support is final.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        final = error.verify_code in _WEAK_CERTIFICATES
        return Reason(_certificate_fault(error, host, sent), certificate=True, final=final)
    name = _reason_name(error)
    return Reason(_explanation(name, error), final=name in _UNSUPPORTED)


def failure(target: Target, error: OSError | ValueError, sent: Certificates = ()) -> TlsFailed:
    """The error to raise for a handshake that ``error`` ended: TlsUnsupported where that is final."""
    why = reason(error, target.host if target.redirected_from is None else None, sent)
    kind = TlsUnsupported if why.final else TlsFailed
    what = "the certificate is not valid" if why.certificate else "the TLS handshake failed"
    return kind(f"{target}: {what}: {why.text}")


def refusal(target: Target, error: ssl.SSLError) -> TlsFailed:
    """The error to raise when ``error`` came in place of a response.

    In TLS 1.3 a server rejects a missing client certificate only after the handshake (RFC 8446, 4.4.2.4).
    """
    name = _reason_name(error)
    if _UNSUPPORTED.get(name) == _CLIENT_CERTIFICATE:
        return TlsUnsupported(f"{target}: TLS failed: {_CLIENT_CERTIFICATE}")
    # The other reasons of that table concern the handshake, which has succeeded here.
    return TlsFailed(f"{target}: TLS failed: {_TRANSIENT.get(name) or _unlisted(name, error, 'connection')}")


def _reason_name(error: BaseException) -> str:
    """OpenSSL's name of the reason; empty without one."""
    if isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "UNEXPECTED_EOF_WHILE_READING"
    if not isinstance(error, ssl.SSLError):
        return ""
    unnamed = _UNNAMED.fullmatch(str(error))
    return str(getattr(error, "reason", None) or (unnamed[1] if unnamed else "")).upper().replace(" ", "_")


def _explanation(name: str, error: BaseException) -> str:
    return _UNSUPPORTED.get(name) or _TRANSIENT.get(name) or _unlisted(name, error)


def _unlisted(name: str, error: BaseException, ended: str = "handshake") -> str:
    if alert := _ALERT.fullmatch(name):
        described = alert[1].lower()
        return f"the server broke off the {ended} ({_RFC_NAMES.get(described, described)})"
    if name:
        return f"OpenSSL rejected what the server sent ({name.lower().replace('_', ' ')})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "no certificate can carry the name of the host" if isinstance(error, ValueError) else type(error).__name__


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str | None, sent: Certificates) -> str:
    code = error.verify_code
    if code in _WRONG_NAME:
        return f"it was issued for other names, not for {'that host' if host is None else repr(host)}"
    if code in _ISSUER_UNKNOWN:
        return _unknown_issuer(sent)
    return _CERTIFICATE_FAULTS.get(code) or _WEAK_CERTIFICATES.get(code) or f"OpenSSL says: {error.verify_message}"


def _unknown_issuer(sent: Certificates) -> str:
    """Why the server's certificate leads to no CA that urlsum knows.

    The issuer of a lone certificate may be an intermediate or a private CA. The address of the issuer's certificate
    (caIssuers; RFC 5280, 4.2.2.1) does not distinguish them: private CAs give that of their roots, too. In a chain, the
    last certificate has it when a public CA issued that: public CAs are obliged to give it.
    """
    last = _last_of_chain(sent)
    if last is None:
        return f"the server does not send its intermediate certificate, or its issuer is a private CA {UNKNOWN_ISSUER}"
    more = ", or the server does not send all intermediate certificates" if last.get("caIssuers") else ""
    return f"its issuer is a CA {UNKNOWN_ISSUER}{more}"


def _last_of_chain(sent: Certificates) -> Mapping[str, object] | None:
    """The last certificate of the chain that begins with the server's own, in whatever order they came.

    None when the issuer of the server's own is not among them.
    """
    if not sent:
        return None
    last, *others = sent
    own = last
    while issuers := [each for each in others if each["subject"] == last["issuer"]]:
        last = issuers[0]
        others.remove(last)
    return None if last is own else last
