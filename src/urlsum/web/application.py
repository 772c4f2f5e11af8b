"""Routers → one ASGI application with the error handlers and the description of the API."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from urlsum import __version__
from urlsum.settings import on_lambda
from urlsum.web.problems import HANDLERS

if TYPE_CHECKING:
    from fastapi import APIRouter


class Application(FastAPI):
    """FastAPI with the description of the API from ``urlsum.web.openapi``."""

    def openapi(self) -> dict[str, Any]:
        """The document behind /openapi.json and docs/openapi.json."""
        if self.openapi_schema is None:
            from urlsum.web.openapi import operations, schemas  # noqa: PLC0415 - only for the description

            document = super().openapi()
            document["info"]["description"] = operations.DESCRIPTION.strip()
            document["components"] = {"schemas": schemas.components()}
            for (path, method), operation in operations.OPERATIONS.items():
                if path in document["paths"]:
                    document["paths"][path][method] |= operation
        schema: dict[str, Any] = self.openapi_schema  # type: ignore[assignment] # super().openapi() keeps it there
        return schema


def application(*routers: APIRouter) -> FastAPI:
    """Build the application that serves ``routers``; no I/O.

    Off Lambda it also serves /docs and /openapi.json, which API Gateway does not route.
    """
    described = not on_lambda()
    app = Application(
        title="urlsum",
        version=__version__,
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_url="/openapi.json" if described else None,
        docs_url="/docs" if described else None,
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
