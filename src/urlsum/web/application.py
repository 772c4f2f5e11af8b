"""Routers → one ASGI application with the error handlers and the description of the API."""

from __future__ import annotations

from collections import defaultdict
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

from urlsum import __version__
from urlsum.settings import on_lambda
from urlsum.web import render
from urlsum.web.problems import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter
    from starlette.types import Message, Receive, Scope, Send


# A slash too many is no other path. No redirect, because many clients drop the body of a redirected POST. API Gateway
# takes no routes that end in a slash, and passes such requests on to the route without it.
# https://github.com/aws-powertools/powertools-lambda-python/pull/1577
WITH_SLASH = ("/submit/", "/check/")


class Route(APIRoute):
    """A route whose endpoint runs in the event loop on Lambda, and elsewhere in a thread.

    A process on Lambda gets one event at a time, and threads cost it 15 ms of CPU time at the first.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(path, _in_loop(endpoint) if on_lambda() else endpoint, **options)


def _in_loop(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(endpoint):  # so is what include_router() takes over
        return endpoint

    @wraps(endpoint)
    async def in_loop(*args: Any, **values: Any) -> Any:  # noqa: ANN401 - as the endpoint's
        return endpoint(*args, **values)

    return in_loop


class Application(FastAPI):
    """FastAPI with the description of the API from ``urlsum.web.openapi``, and a header against content sniffing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Each response forbids a browser to find HTML in it whatever its type says.

        JSON and text contain a URL that a stranger chose. https://fetch.spec.whatwg.org/#x-content-type-options-header
        """

        async def send_nosniff(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await super().__call__(_without_slash(scope), receive, send_nosniff)

    def openapi(self) -> dict[str, Any]:
        """The document that `make openapi` stores."""
        if self.openapi_schema is None:
            from urlsum.web.openapi import operations, schemas  # noqa: PLC0415 - only for the description

            document = super().openapi()
            document["info"]["description"] = operations.DESCRIPTION.strip()
            document["servers"] = operations.SERVERS
            document["tags"] = operations.TAGS
            document["components"] = {"schemas": schemas.components(), "securitySchemes": schemas.SECURITY}
            for (path, method), operation in operations.OPERATIONS.items():
                if path in document["paths"]:
                    document["paths"][path][method] |= operation
        schema: dict[str, Any] = self.openapi_schema  # type: ignore[assignment] # super().openapi() keeps it there
        return schema


def _without_slash(scope: Scope) -> Scope:
    if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) not in WITH_SLASH:
        return scope
    return {**scope, "path": scope["path"].removesuffix("/"), render.SENT_PATH: scope["path"]}


def application(*routers: APIRouter) -> FastAPI:
    """Build the application that serves ``routers``; no I/O."""
    app = Application(
        title="urlsum",
        version=__version__,
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_url=None,  # urlsum.web.description serves the stored one
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # many clients drop the body of a redirected POST
        exception_handlers=HANDLERS,
    )
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for router in routers:
        app.include_router(router)
        for route in router.routes:
            if isinstance(route, APIRoute):
                methods[route.path] |= route.methods or set()
    app.state.methods = methods  # for Allow
    return app
