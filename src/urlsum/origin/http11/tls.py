"""TLS to origins: the certificate must be valid for the name in the URL, while the socket goes to a judged address."""

from __future__ import annotations

import ssl
from functools import cache, partial
from typing import TYPE_CHECKING

from urlsum.errors import SettingsError, TimedOut
from urlsum.origin.http11.tls_failures import failure

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from urlsum.origin.guard.url import Target

# RFC 8446, 5.1: the most that one record holds, and so the most that one read returns.
RECORD_BYTES = 16_384


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that exposes OpenSSL's own read, without the four calls of Python around it.

    They do nothing for a receiver, and a file of 2 GiB has 131,072 records: 2 % of all CPU time.
    """

    @property
    def receiver(self) -> Callable[[memoryview], int]:
        """Receives at most one record into a view. Any OSError but TimeoutError means the end, and so may 0."""
        return partial(self._sslobj.read, RECORD_BYTES)  # type: ignore[attr-defined] # in every CPython since 2.6

    @property
    def sent_certificates(self) -> Sequence[Mapping[str, object]]:
        """The certificates that the peer sent, its own first, verified or not; as getpeercert() describes them.

        Empty where this Python has no access: ``SSLSocket`` makes them public only from 3.13 on, and undecoded.
        """
        try:
            chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # in every CPython since 3.10
            return [certificate.get_info() for certificate in chain or ()]
        except (AttributeError, ValueError, ssl.SSLError):
            return []


@cache
def context(cert_file: Path | None) -> ssl.SSLContext:
    """The trusted CAs: one context per process, made on first use, as reading the system's store takes some 40 ms.

    ``cert_file`` (SSL_CERT_FILE) adds CAs to those of the system. Raises SettingsError when it cannot be read.
    The class is used bare: ``create_default_context`` checks more strictly from Python 3.13 on, and a certificate
    must not be valid on one Python and invalid on another.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 deprecates the earlier ones
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    if cert_file is not None:
        try:
            context.load_verify_locations(cert_file)
        except OSError as exc:  # SSLError, for a file that is not PEM, is one too
            raise SettingsError(f"SSL_CERT_FILE: {cert_file} cannot be read as certificates: {exc}") from exc
    return context


def secure(sock: socket.socket, target: Target, context: ssl.SSLContext, *, within: float) -> ssl.SSLSocket:
    """Do the TLS handshake on ``sock`` for the name of ``target``; all of it takes at most ``within`` seconds.

    Closes ``sock`` on failure. Raises TlsFailed, TlsUnsupported, TimedOut.
    """
    try:
        sock.settimeout(within)
        # The handshake is a separate step: wrap_socket() closes a socket that fails, and its certificates are lost.
        secured = context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
    except (OSError, ValueError) as exc:  # ValueError: no certificate can carry the name
        sock.close()
        raise failure(target, exc) from exc
    try:
        secured.do_handshake()
    except TimeoutError as exc:
        secured.close()
        raise TimedOut(f"{target}: the TLS handshake timed out after {within:.1f} s") from exc
    except (OSError, ValueError) as exc:
        sent = secured.sent_certificates if isinstance(secured, TlsSocket) else ()
        secured.close()
        raise failure(target, exc, sent) from exc
    return secured
