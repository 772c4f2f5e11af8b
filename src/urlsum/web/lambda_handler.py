"""The application as a Lambda handler behind an API Gateway HTTP API (payload format 2.0)."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urlsum import cloudwatch, wiring
from urlsum.settings import load, on_lambda
from urlsum.web.cross_site import allow_origins
from urlsum.web.negotiation import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from mangum import Mangum
    from mangum.types import LambdaContext
    from starlette.types import ASGIApp, Receive, Scope, Send

    from urlsum.settings import Settings

# What a log line says of the task that a caller names: an id is a UUID.
ID_CHARACTERS = 36


class LambdaHandler:
    """The ``handler`` of ``function``, as its log lines name it.

    On Lambda the constructor wires everything, in the init phase, and a wrong setting stops the cold start
    (SettingsError). Elsewhere nothing happens before the first event.
    """

    def __init__(self, app: ASGIApp, function: str, settings: Callable[[], Settings] = load) -> None:
        self._app = app
        self._function = function
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        if on_lambda():
            cloudwatch.log_as_json(function)
            wiring.services()
            _ = self._mangum

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Respond to one event."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        # Mangum uses the current event loop of the thread. asyncio.run() may have cleared it since the last event, and
        # relying on asyncio to create one is deprecated.
        asyncio.set_event_loop(self._loop)
        task = (event.get("queryStringParameters") or {}).get("id", "")
        with cloudwatch.request(context.aws_request_id, self._function), cloudwatch.about(task[:ID_CHARACTERS] or None):
            return self._mangum(event, context)

    def close(self) -> None:
        """Close the event loop; on Lambda it lives as long as the process."""
        if self._loop is not None:
            asyncio.set_event_loop(None)
            self._loop.close()
            self._loop = None

    @cached_property
    def _mangum(self) -> Mangum:
        # Self-hosted servers import this module with the routes of the functions, and have no Mangum.
        from mangum import Mangum  # noqa: PLC0415
        from mangum.adapter import DEFAULT_TEXT_MIME_TYPES  # noqa: PLC0415

        class LoopTaker(Mangum):
            def _setup_event_loop(self) -> None:
                """Do nothing: LambdaHandler owns the loop. The way of Mangum is deprecated or leaves a loop open."""

        config = self._settings()
        return LoopTaker(
            _Staged(allow_origins(self._app, config)),
            lifespan="off",
            # Behind a custom domain the path begins with the API mapping, which PUBLIC_URL contains.
            api_gateway_base_path=urlsplit(config.public_url or "").path.rstrip("/"),
            text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, PROBLEM],
        )


class _Staged:
    """Passes the stage of the API to the application as the prefix (``root_path``) of its paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Every stage but the default one is the first segment of the path.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
        prefix = f"/{scope['aws.event']['requestContext']['stage']}"
        # Without a trailing slash in the address of the service the path is the prefix or empty.
        path = f"{scope['path']}/" if scope["path"] in ("", prefix) else scope["path"]
        scope = {**scope, "path": path}
        if path.startswith(f"{prefix}/"):
            scope["root_path"] = prefix
        await self._app(scope, receive, send)
