"""TLS to the service of ``--server``: which certificates are trusted, and in words why a handshake failed."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

from urlsum.errors import SettingsError
from urlsum.origin import tls

if TYPE_CHECKING:
    import requests

# In the order in which requests takes them. Both replace its own bundle, that of certifi.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# X509_V_ERR_… of openssl/x509_vfy.h: what is wrong with the certificate of the service. OpenSSL does not tell a
# missing intermediate certificate from an unknown authority (20), so the text names both.
_UNKNOWN_ISSUER = "its authority is not among the trusted ones, or the service sends no intermediate certificate"
REASONS = {
    2: _UNKNOWN_ISSUER,
    9: "it is not valid yet, or the clock of this machine is wrong",
    10: "it has expired",
    18: "it is self-signed and is not among the trusted ones",
    19: "its authority is not among the trusted ones",
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    62: "it is for another host name",
    64: "it is for another address",
}


class Trust:
    """The certificate authorities that ``session`` trusts at the service ``base``.

    With SSL_CERT_FILE (``cert_file``) these are the authorities of that file and of the system, as for the files that
    are hashed here. Raises SettingsError when the file, or a bundle of the environment, cannot be used.
    """

    def __init__(self, base: str, session: requests.Session, cert_file: Path | None) -> None:
        self._base = base
        bundles = [name for name in BUNDLES if os.environ.get(name)]
        # As an argument of each request. requests lets the bundles of the environment override Session.verify.
        self.verify = None if cert_file is None else str(cert_file)
        self._trusted = "trusted are the public authorities; for a private one, set SSL_CERT_FILE to its certificate"
        if not base.startswith("https:"):
            return
        if cert_file is not None:
            session.mount("https://", _Adapter(tls.context(cert_file)))
            self._trusted = f"trusted are SSL_CERT_FILE ({cert_file}) and the authorities of the system"
            if bundles:
                self._trusted += f"; SSL_CERT_FILE takes precedence over {' and '.join(bundles)}"
        elif bundles:
            path = os.environ[bundles[0]]
            _check(bundles[0], path)
            self._trusted = f"trusted is {bundles[0]} ({path}) alone; SSL_CERT_FILE would take precedence"

    def explain(self, error: requests.exceptions.SSLError) -> str:
        """Why the handshake failed and, when the certificate is the reason, which authorities are trusted."""
        cause = root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = REASONS.get(cause.verify_code, cause.verify_message)
            return f"the certificate of {self._base} is not valid: {reason}; {self._trusted}"
        reason = (isinstance(cause, ssl.SSLError) and cause.reason) or str(cause)
        return f"the TLS handshake with {self._base} failed: {reason}; check that --server names a port with TLS"


def _check(name: str, path: str) -> None:
    """Raise SettingsError unless the bundle ``path``, a file or a folder, can be used; requests would not name it."""
    try:
        folder = Path(path).is_dir()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            None if folder else path, path if folder else None
        )
    except OSError as exc:  # SSLError, for a file that is no PEM, is one too
        raise SettingsError(f"{name}: {path} cannot be read as certificates: {exc}") from exc


class _Adapter(HTTPAdapter):
    """The transport of requests with a TLS context of ours, to the service and through a proxy."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as requests has it
        super().init_poolmanager(*args, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401 - as requests has it
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)


def root_cause(error: BaseException) -> BaseException:
    """The exception at the bottom of ``error``, which requests and urllib3 wrap as ``reason`` or as an argument."""
    while True:
        inside = [getattr(error, "reason", None), *error.args]
        below = next((each for each in inside if isinstance(each, BaseException)), None)
        if below is None:
            return error
        error = below
