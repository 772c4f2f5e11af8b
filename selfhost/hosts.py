"""Which names of this server a request may use: the defence of a local server against DNS rebinding.

A page of evil.example may let its name resolve to 127.0.0.1 after it was loaded. For the browser, requests to the
server on this machine are then requests to evil.example, and the page may read the responses. Only their Host shows it.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request

from urlsum.web import problems
from urlsum.web.models import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from urlsum.settings import Settings

# Not 421 (RFC 9110, 15.5.20), which clients may repeat, and `urlsum --server` does.
FOREIGN_HOST = Kind("foreign-host", "Unknown host name", HTTPStatus.FORBIDDEN, field="Host")


def own_hosts(config: Settings, bound_to: str) -> Callable[[str], bool] | None:
    """Which hosts are this server's, for one that is bound to the address ``bound_to``; None for all of them.

    They are loopback's, that of PUBLIC_URL, and ALLOWED_HOSTS. A server that is bound to a network has names that it
    does not know, and is not hidden from strangers, so there ALLOWED_HOSTS has to be set for a check.
    """
    if not config.allowed_hosts and not ip_address(bound_to).is_loopback:
        return None
    public = urlsplit(config.public_url or "").hostname

    def is_own(host: str) -> bool:
        with suppress(ValueError):
            address = ip_address(host)
            networks = (each for each in config.allowed_hosts if not isinstance(each, str))
            return address.is_loopback or host == public or any(address in network for network in networks)
        names = {"localhost", public, *config.allowed_hosts}
        # An entry .example.org matches example.org and what is below it.
        ends = (f".{host}"[at:] for at, char in enumerate(f".{host}") if char == ".")
        return host in names or any(end in names for end in ends)

    return is_own


class OwnHosts:
    """Passes to ``app`` the requests whose Host ``is_own``, and answers the others with 403."""

    def __init__(self, app: ASGIApp, is_own: Callable[[str], bool]) -> None:
        self._app = app
        self._is_own = is_own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. One without Host is HTTP/1.0, which no browser speaks."""
        request = Request(scope)
        field = request.headers.get("Host")
        if field is None or self._is_own(host_of(field)):
            await self._app(scope, receive, send)
            return
        response = problems.respond(
            request,
            FOREIGN_HOST,
            "This server does not answer for the host name of this request. Use http://localhost, or set ALLOWED_HOSTS"
            " or PUBLIC_URL on the server.",
            headers={"X-Content-Type-Options": "nosniff"},
        )
        await response(scope, receive, send)


def host_of(field: str) -> str:
    """The host in a Host field, without port, brackets and a final dot, in lower case; empty if it is malformed."""
    with suppress(ValueError):
        return (urlsplit(f"//{field}").hostname or "").removesuffix(".")
    return ""
