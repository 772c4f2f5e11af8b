"""Whom requests name as their sender, and the proxy that they pass: what options and environment say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from urlsum.cli import console
from urlsum.cli.hosts import host_of
from urlsum.errors import SettingsError
from urlsum.origin.http11.access import Proxy, basic

if TYPE_CHECKING:
    import netrc
    from collections.abc import Iterable, Mapping, Sequence

    from urlsum.origin.guard.url import Target

    Origin = tuple[str, str, int]

DEFAULT_PROXY_PORT = 1080  # curl's
# The schemes of curl's proxies that urlsum does not speak to.
_OTHER_KINDS = frozenset({"https:", "socks:", "socks4:", "socks4a:", "socks5:", "socks5h:"})


class CommandAccess:
    """The fields of ``-H`` and the passwords of ``--netrc``, and the proxies of the environment.

    Fields go to the one origin whose URLs were given, never to another one after a redirect.
    """

    def __init__(self, headers: Sequence[tuple[str, str]], environment: Mapping[str, str], *, use_netrc: bool) -> None:
        self._headers = headers
        self._netrc = _read_netrc(environment) if use_netrc else None
        self._environment = environment
        # Nearly always there is none, and the module that reads them takes 20 ms to import.
        self.has_proxies = any(name.lower().endswith("_proxy") and value for name, value in environment.items())
        """Whether the environment names any proxy."""
        self._given: set[Origin] = set()
        self._lock = threading.Lock()
        self._told = False

    def admit(self, urls: Iterable[str]) -> None:
        """``urls`` were given by the user, or by a list of the user's. Raises SettingsError.

        A list may be a stranger's, and its URLs must not get a password that is meant for another host.
        """
        for url in urls:
            origin = host_of(url)
            if origin is not None:
                self._given.add(origin)
        if self._headers and len(self._given) > 1:
            hosts = sorted({host for _, host, _ in self._given})
            shown = ", ".join(hosts[:3]) + (" …" if hosts[3:] else "")
            raise SettingsError(
                f"the fields of --header go to one origin, and the URLs have {len(self._given)} ({shown}); run urlsum"
                " once for each"
            )

    def fields(self, target: Target) -> Sequence[tuple[str, str]]:
        """Further fields of a request for ``target``."""
        given = target.origin in self._given
        fields = list(self._headers) if given else []
        # In clear text a password goes only where the user has sent the request.
        if self._netrc is not None and (target.secure or given):
            entry = self._netrc.hosts.get(target.host)
            if entry is not None and not any(name.lower() == "authorization" for name, _ in fields):
                fields.append(("Authorization", basic(entry[0], entry[2])))
        return fields

    def proxy(self, target: Target) -> Proxy | None:
        """The proxy to ``target``, as curl and Python choose it. Raises SettingsError."""
        if not self.has_proxies:
            return None
        # typeshed hides the second one, which is in every CPython since 2.6.
        from urllib.request import (  # type: ignore[attr-defined] # noqa: PLC0415 - see __init__
            getproxies_environment,
            proxy_bypass_environment,
        )

        proxies = getproxies_environment()
        url = proxies.get(target.scheme) or proxies.get("all")
        if not url or proxy_bypass_environment(f"{target.host}:{target.port}", proxies):
            return None
        proxy = parse_proxy(url, self._variable(target), target.host)
        with self._lock:
            told, self._told = self._told, True
        if not told:
            console.tell(
                f"connecting through the proxy {proxy}, which looks up names itself: that no private address is read"
                " is up to the proxy"
            )
        return proxy

    def _variable(self, target: Target) -> str:
        """The name of the variable that ``proxy`` uses, as it is spelled in the environment."""
        for wanted in (f"{target.scheme}_proxy", "all_proxy"):
            # Python lets the one in lower case win.
            for name in (wanted, *self._environment):
                if name.lower() == wanted and self._environment.get(name):
                    return name
        return f"{target.scheme}_proxy"


def parse_proxy(url: str, variable: str, host: str) -> Proxy:
    """The proxy at ``url``, which ``variable`` has, to ``host``. Raises SettingsError, without user and password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme, name, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise _malformed(variable) from None
    # Without the slashes, as in "socks5:host", the scheme is taken for a host.
    if not scheme or not name or port == 0 or f"{name}:" in _OTHER_KINDS:
        raise _malformed(variable)
    if scheme != "http":
        where = f"[{name}]" if ":" in name else name
        # Most proxies for https:// URLs are asked in clear text themselves.
        hint = f"try http://{where}:{port or DEFAULT_PROXY_PORT}" if scheme == "https" else "name an http:// proxy"
        raise SettingsError(
            f"{variable}: urlsum speaks to http:// proxies only, not {scheme}://; {hint}, or connect directly with"
            f" no_proxy={host}"
        )
    user = None if parts.username is None else unquote(parts.username)
    return Proxy(name, port or DEFAULT_PROXY_PORT, user, unquote(parts.password or ""))


def _malformed(variable: str) -> SettingsError:
    return SettingsError(f"{variable}: expected the URL of a proxy, like http://host:3128")


def _read_netrc(environment: Mapping[str, str]) -> netrc.netrc:
    """Raises SettingsError."""
    import netrc  # noqa: PLC0415 - few need it

    path = environment.get("NETRC")
    try:
        return netrc.netrc(path)
    except OSError as exc:
        raise SettingsError(f"--netrc: {exc.filename or path}: {exc.strerror}") from exc
    except netrc.NetrcParseError as exc:
        raise SettingsError(f"--netrc: {exc.filename}: line {exc.lineno}: {exc.msg}") from exc
