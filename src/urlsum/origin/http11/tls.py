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

# RFC 8446, 5.1: the most that one record holds, which is also the most that one read brings.
RECORD_BYTES = 16_384


class TlsSocket(ssl.SSLSocket):
    """A socket that hands out OpenSSL's own read, without the four calls of Python around it.

    They do nothing for whoever only receives, and a file of 2 GiB has 131,072 records: 2 % of all CPU time.
    """

    @property
    def receiver(self) -> Callable[[memoryview], int]:
        """Receives into a view, at most a record. Any OSError but TimeoutError is the end, and so may be 0."""
        return partial(self._sslobj.read, RECORD_BYTES)  # type: ignore[attr-defined] # in every CPython since 2.6

    @property
    def sent_certificates(self) -> Sequence[Mapping[str, object]]:
        """The certificates that the peer sent, its own first, verified or not; as getpeercert() describes them.

        Empty where this Python cannot tell: ``SSLSocket`` has them in public only from 3.13 on, and undescribed.
        """
        try:
            chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # in every CPython since 3.10
            return [certificate.get_info() for certificate in chain or ()]
        except (AttributeError, ValueError, ssl.SSLError):
            return []


@cache
def context(cert_file: Path | None) -> ssl.SSLContext:
    """The one context of the process, made on first use: reading the system's store takes some 40 ms.

    ``cert_file`` (SSL_CERT_FILE) adds CAs to those of the system. Raises SettingsError when it cannot be read.
    The class is used bare: ``create_default_context`` checks more strictly from Python 3.13 on, and the same
    certificate must not be good in one place and bad in another.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
    made.sslsocket_class = TlsSocket
    made.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 retired what came before
    made.set_alpn_protocols(["http/1.1"])
    made.load_default_certs()
    if cert_file is not None:
        try:
            made.load_verify_locations(cert_file)
        except OSError as exc:  # SSLError, for a file that is no PEM, is one too
            raise SettingsError(f"SSL_CERT_FILE: {cert_file} cannot be read as certificates: {exc}") from exc
    return made


def secure(sock: socket.socket, target: Target, made: ssl.SSLContext, *, within: float) -> ssl.SSLSocket:
    """Shake hands on ``sock`` for the name of ``target``; all of it takes at most ``within`` seconds.

    Closes ``sock`` when that fails. Raises TlsFailed, TlsUnsupported, TimedOut.
    """
    try:
        sock.settimeout(within)
        # The handshake is a step of its own: wrap_socket() closes a socket that fails, and the certificates are lost.
        secured = made.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
    except (OSError, ValueError) as exc:  # ValueError: a name that no certificate can carry
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
