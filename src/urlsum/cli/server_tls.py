"""TLS to the service of ``--server``: the trusted certificates, and the reason of a failed handshake in words."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from urlsum.cli import console
from urlsum.errors import FailureCode, SettingsError, TlsFailed, TlsUnsupported
from urlsum.origin.http11 import tls, tls_failures
from urlsum.origin.http11.phrases import UNKNOWN_ISSUER

if TYPE_CHECKING:
    import requests

# In the order of precedence that requests applies. Each replaces its default bundle, that of certifi.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Trust:
    """The certificate authorities that ``session`` trusts at the service ``base``.

    With SSL_CERT_FILE (``cert_file``) these are the authorities of that file and of the system, as for local hashing.
    Raises SettingsError if that file, or a bundle of the environment, cannot be used.
    """

    def __init__(self, base: str, session: requests.Session, cert_file: Path | None) -> None:
        self._base = base
        bundles = [name for name in BUNDLES if os.environ.get(name)]
        # Passed with each request: the bundles of the environment would override Session.verify.
        self.verify = None if cert_file is None else str(cert_file)
        self._trusted = "only public authorities are trusted; to add a private one, set SSL_CERT_FILE"
        if not base.startswith("https:"):
            return
        if cert_file is not None:
            session.mount("https://", _Adapter(tls.context(cert_file)))
            self._trusted = f"only SSL_CERT_FILE ({cert_file}) and the authorities of the system are trusted"
            if bundles:
                self._trusted += f"; SSL_CERT_FILE takes precedence over {' and '.join(bundles)}"
        elif bundles:
            path = os.environ[bundles[0]]
            _check_bundle(bundles[0], path)
            self._trusted = f"only {bundles[0]} ({path}) is trusted; setting SSL_CERT_FILE overrides it"

    def failure(self, error: requests.exceptions.SSLError) -> TlsFailed:
        """The error to raise for ``error``. It names the trusted authorities if none of them is the issuer."""
        reason = tls_failures.reason(root_cause(error), urlsplit(self._base).hostname or self._base)
        what, how = ("certificate of", "is not valid") if reason.certificate else ("TLS handshake with", "failed")
        advice = self._trusted if UNKNOWN_ISSUER in reason.text else console.advice(FailureCode.TLS, reason.text)
        kind = TlsUnsupported if reason.final else TlsFailed
        return kind(f"the {what} {self._base} {how}: {reason.text}{f'; {advice}' if advice else ''}")


def _check_bundle(name: str, path: str) -> None:
    """Raise SettingsError unless the bundle ``path``, a file or a folder, is usable; requests would not name it."""
    try:
        folder = Path(path).is_dir()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            None if folder else path, path if folder else None
        )
    except OSError as exc:  # SSLError, raised for a file that is not PEM, is a subclass
        raise SettingsError(f"{name}: {path} cannot be read as certificates: {exc}") from exc


class _Adapter(HTTPAdapter):
    """The transport of requests with our own TLS context, both direct and through a proxy."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - the signature of requests
        super().init_poolmanager(*args, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401 - the signature of requests
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)


def root_cause(error: BaseException) -> BaseException:
    """The innermost exception of ``error``: requests and urllib3 wrap it as ``reason`` or as an argument."""
    while True:
        wrapped = [getattr(error, "reason", None), *error.args]
        cause = next((each for each in wrapped if isinstance(each, BaseException)), None)
        if cause is None:
            return error
        error = cause
