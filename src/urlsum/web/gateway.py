"""The application as a Lambda handler behind an API Gateway HTTP API (payload format 2.0)."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from urlsum import wiring
from urlsum.settings import load, on_lambda
from urlsum.web.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mangum.types import LambdaContext
    from starlette.types import ASGIApp, Receive, Scope, Send

    Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def lambda_handler(app: ASGIApp, public_url: Callable[[], str | None] = lambda: load().public_url) -> Handler:
    """The entry point of a function that serves ``app``.

    On Lambda all is made ready here, in the init phase, and a wrong setting stops the cold start (SettingsError).
    Elsewhere nothing happens before the first event.
    """

    @cache
    def ready() -> tuple[Mangum, asyncio.AbstractEventLoop]:
        # Behind a custom domain the path begins with the domain's mapping, which PUBLIC_URL names.
        base_path = urlsplit(public_url() or "").path.rstrip("/")
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        mangum = Mangum(
            _Staged(app),
            lifespan="off",
            api_gateway_base_path=base_path,
            text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE],
        )
        return mangum, loop

    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        mangum, loop = ready()
        # Mangum takes the thread's current loop. To let asyncio make one is deprecated, and whoever ran
        # asyncio.run() in between has cleared it.
        asyncio.set_event_loop(loop)
        return mangum(event, context)

    if on_lambda():
        wiring.ports()
        ready()
    return handler


class _Staged:
    """Tells the application the stage under which it is served, as the prefix (``root_path``) of its paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The default stage has no prefix; every other one begins the path.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
        prefix = f"/{scope['aws.event']['requestContext']['stage']}"
        if scope["path"].startswith(f"{prefix}/"):
            scope = {**scope, "root_path": prefix}
        await self._app(scope, receive, send)
