"""TLS to origins: the certificate must be valid for the name in the URL, while the socket goes to a judged address."""

from __future__ import annotations

import ssl
from functools import cache, partial
from typing import TYPE_CHECKING

from urlsum.errors import SettingsError, TimedOut, TlsFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from urlsum.origin.target import Target

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

    Closes ``sock`` when that fails. Raises TlsFailed, TimedOut.
    """
    try:
        sock.settimeout(within)
        return made.wrap_socket(sock, server_hostname=target.host)
    except TimeoutError as exc:
        sock.close()
        raise TimedOut(f"{target}: the TLS handshake was not done within {within:.1f} s") from exc
    except ssl.SSLCertVerificationError as exc:
        sock.close()
        raise TlsFailed(f"{target}: the certificate is not valid: {exc.verify_message}") from exc
    except (OSError, ValueError) as exc:  # ValueError: a name that no certificate can carry
        sock.close()
        reason = exc.reason if isinstance(exc, ssl.SSLError) and exc.reason else str(exc)
        raise TlsFailed(f"{target}: the TLS handshake failed: {reason}") from exc
