"""Errors → problem+json (RFC 9457): one stable ``type`` for each kind of trouble.

The ``type`` is a name to compare with, not an address to open.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from urlsum.errors import InvalidRequest, TaskFinished, TaskNotFound, Unavailable
from urlsum.text.redact import one_line
from urlsum.web import render
from urlsum.web.models import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

# Long enough for a table or queue to fail over, short enough for somebody who waits at a terminal.
UNAVAILABLE_RETRY_SECONDS = 5
# As long as the names of urlsum's own fields and of the query parameters of signed URLs, with room.
FIELD_LIMIT = 64

logger = logging.getLogger(__name__)


INVALID_REQUEST = Kind("invalid-request", "The request is not valid", HTTPStatus.UNPROCESSABLE_ENTITY)
TASK_NOT_FOUND = Kind("task-not-found", "No such task", HTTPStatus.NOT_FOUND, field="id")
TASK_FINISHED = Kind("task-finished", "The task has ended already", HTTPStatus.CONFLICT, field="id")
UNAVAILABLE = Kind("unavailable", "Try again later", HTTPStatus.SERVICE_UNAVAILABLE)
INTERNAL_ERROR = Kind("internal-error", "urlsum failed", HTTPStatus.INTERNAL_SERVER_ERROR)
INCOMPLETE_BODY = Kind("incomplete-body", "The request ended too early", HTTPStatus.BAD_REQUEST)
CROSS_SITE = Kind("cross-site", "Other sites cannot submit here", HTTPStatus.FORBIDDEN)
NOT_FOUND = Kind("not-found", "Nothing is served at this path", HTTPStatus.NOT_FOUND)
METHOD_NOT_ALLOWED = Kind("method-not-allowed", "This path takes other methods", HTTPStatus.METHOD_NOT_ALLOWED)
BODY_TOO_LARGE = Kind("body-too-large", "The body is too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, field="body")
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type", "The body is not in a form that is taken", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, field="body"
)
_OF_STATUS = {
    kind.status: kind
    for kind in (INCOMPLETE_BODY, CROSS_SITE, NOT_FOUND, METHOD_NOT_ALLOWED, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}


def respond(
    request: Request, kind: Kind, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The response for one problem."""
    blamed = field or kind.field
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=int(kind.status),
        detail=one_line(detail),
        # The name of an unknown field is the caller's; one that cannot be shown at all is the body's fault.
        field=one_line(blamed, FIELD_LIMIT) or "body" if blamed else None,
    )
    return render.respond(problem, request, problem.status, headers, home=render.home(request))


async def _invalid_request(request: Request, exc: InvalidRequest) -> Response:
    return respond(request, INVALID_REQUEST, str(exc), field=exc.field)


async def _not_validated(request: Request, exc: RequestValidationError) -> Response:
    # Routes parse their own input today; one that leaves it to FastAPI keeps the contract too.
    error: dict[str, Any] = exc.errors()[0]
    return respond(request, INVALID_REQUEST, str(error["msg"]), field=str(error["loc"][-1]))


async def _task_not_found(request: Request, _exc: TaskNotFound) -> Response:
    # One and the same words for unknown, expired and malformed ids: an answer must not tell which ids once were.
    return respond(
        request, TASK_NOT_FOUND, "There is no task with this id: it was mistyped, or it has expired; submit again"
    )


async def _task_finished(request: Request, _exc: TaskFinished) -> Response:
    return respond(request, TASK_FINISHED, "The task has ended, so it cannot be cancelled; GET /check tells how")


async def _unavailable(request: Request, exc: Unavailable) -> Response:
    logger.warning("%s: %s", type(exc).__name__, exc, exc_info=exc)
    return respond(
        request,
        UNAVAILABLE,
        "urlsum cannot reach its own storage just now. Nothing was accepted or changed; send the same request again"
        f" in {UNAVAILABLE_RETRY_SECONDS} seconds",
        headers={"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)},
    )


async def _http(request: Request, exc: HTTPException) -> Response:
    status = HTTPStatus(exc.status_code)
    match status:
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return _other_method(request, exc)
        case HTTPStatus.NOT_FOUND:
            return respond(request, NOT_FOUND, "Submit a URL with POST /submit; ask for its task with GET /check?id=…")
    return respond(
        request, _OF_STATUS.get(status, Kind("http", status.phrase, status)), exc.detail, headers=exc.headers
    )


def _other_method(request: Request, exc: HTTPException) -> Response:
    # The router names the methods of the first route that has this path; GET and HEAD are two routes.
    named = (exc.headers or {}).get("Allow", "").replace(",", " ").split()
    path = getattr(request.scope.get("route"), "path", None)
    routes = request.app.state.methods.get(path, ())
    allow = {"Allow": ", ".join(sorted({*named, *routes, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
    return respond(request, METHOD_NOT_ALLOWED, f"This path takes {allow['Allow']}", headers=allow)


async def _disconnected(request: Request, _exc: ClientDisconnect) -> Response:
    # Nobody reads this answer; without it every cut connection would look like a fault of ours in the log.
    return respond(request, INCOMPLETE_BODY, "The connection closed before the end of the body")


async def _unexpected(request: Request, _exc: Exception) -> Response:
    # Not logged here: the exception goes on to the server (uvicorn, Mangum), which logs it with its traceback.
    return respond(request, INTERNAL_ERROR, "Something unforeseen went wrong on urlsum's side; try again later")


HANDLERS: dict[int | type[Exception], Any] = {
    InvalidRequest: _invalid_request,
    RequestValidationError: _not_validated,
    TaskNotFound: _task_not_found,
    TaskFinished: _task_finished,
    Unavailable: _unavailable,
    HTTPException: _http,
    ClientDisconnect: _disconnected,
    Exception: _unexpected,
}
