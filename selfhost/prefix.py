"""The path of PUBLIC_URL in front of every path, which a proxy may strip or pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def prefix_of(public_url: str | None) -> str:
    """The path of ``public_url`` as ASGI has it: decoded, without a slash at its end; empty if there is none."""
    return unquote(urlsplit(public_url or "").path).rstrip("/")


class Prefix:
    """Serves ``app`` below ``prefix`` as well, and makes it the ``root_path``, with which links and redirects begin.

    uvicorn's own ``root_path`` is for proxies that strip the prefix, and would double one that was passed on.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope["path"]
        if path == self._prefix:
            path = f"{path}/"
        elif not path.startswith(f"{self._prefix}/"):
            path = f"{self._prefix}{path}"  # as ASGI defines ``path``
        await self._app({**scope, "root_path": self._prefix, "path": path}, receive, send)
