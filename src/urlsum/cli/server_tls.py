"""TLS to the service of ``--server``: which certificates are trusted, and in words why a handshake failed."""

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

# In the order in which requests takes them. Both replace its own bundle, that of certifi.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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
            _check(bundles[0], path)
            self._trusted = f"only {bundles[0]} ({path}) is trusted; setting SSL_CERT_FILE overrides it"

    def failure(self, error: requests.exceptions.SSLError) -> TlsFailed:
        """The error to raise for ``error``; it names the trusted authorities where none of them is the issuer."""
        why = tls_failures.reason(root_cause(error), urlsplit(self._base).hostname or self._base)
        what, how = ("certificate of", "is not valid") if why.certificate else ("TLS handshake with", "failed")
        advice = self._trusted if UNKNOWN_ISSUER in why.text else console.advice(FailureCode.TLS, why.text)
        kind = TlsUnsupported if why.final else TlsFailed
        return kind(f"the {what} {self._base} {how}: {why.text}{f'; {advice}' if advice else ''}")


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
