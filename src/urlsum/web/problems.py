"""Errors → problems (RFC 9457): one stable ``type`` for each kind."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from urlsum.errors import (
    InvalidRequest,
    InvalidUrl,
    KeyRefused,
    LimitReached,
    Overloaded,
    TaskFinished,
    TaskNotFound,
    Unavailable,
    UnknownLink,
)
from urlsum.limits.backlog import RETRY_SECONDS
from urlsum.text.redact import one_line
from urlsum.web import rate_limit, render, trail
from urlsum.web.models import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

# Long enough for a table or queue to fail over, short enough for a person at a terminal.
UNAVAILABLE_RETRY_SECONDS = 5
# What a client may do when the outcome of a request is unknown.
IDEMPOTENCY_KEY = "idempotency-key"
SAME_KEY = f"Send it again with the same Idempotency-Key in {UNAVAILABLE_RETRY_SECONDS} seconds: it is one task."
TWICE_IS_TWO_TASKS = (
    "Sent again, it may become a second task with a second email. With an Idempotency-Key it would be one task."
)
TWICE_IS_ONCE = f"Send it again in {UNAVAILABLE_RETRY_SECONDS} seconds: that does no harm."
# Longer than urlsum's own field names and the query parameters of signed URLs.
FIELD_LIMIT = 64

logger = logging.getLogger(__name__)


INVALID_REQUEST = Kind("invalid-request", "Invalid request", HTTPStatus.UNPROCESSABLE_ENTITY)
KEY_REFUSED = Kind("api-key-refused", "API key needed", HTTPStatus.UNAUTHORIZED, field="key")
LIMIT_REACHED = Kind("limit-reached", "Limit reached", HTTPStatus.TOO_MANY_REQUESTS)
OVERLOADED = Kind("overloaded", "Too many unfinished tasks", HTTPStatus.SERVICE_UNAVAILABLE)
TASK_NOT_FOUND = Kind("task-not-found", "Task not found", HTTPStatus.NOT_FOUND, field="id")
UNKNOWN_LINK = Kind("unknown-link", "Unknown link", HTTPStatus.NOT_FOUND, field="token")
TASK_FINISHED = Kind("task-finished", "The task has already ended", HTTPStatus.CONFLICT, field="id")
UNAVAILABLE = Kind("unavailable", "Temporarily unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
OUTCOME_UNKNOWN = Kind("outcome-unknown", "Outcome unknown", HTTPStatus.SERVICE_UNAVAILABLE)
INTERNAL_ERROR = Kind("internal-error", "Internal error", HTTPStatus.INTERNAL_SERVER_ERROR)
INCOMPLETE_BODY = Kind("incomplete-body", "Incomplete request body", HTTPStatus.BAD_REQUEST)
CROSS_SITE = Kind("cross-site", "Cross-site request refused", HTTPStatus.FORBIDDEN)
NOT_FOUND = Kind("not-found", "Page not found", HTTPStatus.NOT_FOUND)
METHOD_NOT_ALLOWED = Kind("method-not-allowed", "Method not allowed", HTTPStatus.METHOD_NOT_ALLOWED)
BODY_TOO_LARGE = Kind("body-too-large", "Request body too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, field="body")
UNSUPPORTED_MEDIA_TYPE = Kind(
    "unsupported-media-type", "Unsupported body format", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, field="body"
)
_OF_STATUS = {
    kind.status: kind
    for kind in (INCOMPLETE_BODY, CROSS_SITE, NOT_FOUND, METHOD_NOT_ALLOWED, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}


def respond(
    request: Request,
    kind: Kind,
    detail: str,
    *,
    field: str | None = None,
    limit: str | None = None,
    suggestion: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for one problem."""
    blamed = field or kind.field
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=int(kind.status),
        detail=one_line(_sentence(detail.strip())),
        # The caller chose the name of an unknown field. If nothing of it is printable, the body is to blame.
        field=one_line(blamed, FIELD_LIMIT) or "body" if blamed else None,
        limit=limit,
        suggestion=suggestion,
    )
    return render.respond(problem, request, problem.status, headers, home=render.home(request))


def _sentence(text: str) -> str:
    """``text`` with a capital letter and a full stop: errors from below are written for one line of a terminal.

    >>> _sentence("the URL has no host"), _sentence("urlsum reads http and https only, not 'ftp'")
    ('The URL has no host.', "urlsum reads http and https only, not 'ftp'.")
    """
    first = text[:1] if text.startswith("urlsum") else text[:1].upper()
    return f"{first}{text[1:]}{'' if text.endswith(('.', '!', '?', ':', '…')) else '.'}"


async def _invalid_request(request: Request, exc: InvalidRequest) -> Response:
    suggestion = exc.suggestion if isinstance(exc, InvalidUrl) else None
    return respond(request, INVALID_REQUEST, str(exc), field=exc.field, suggestion=suggestion)


async def _not_validated(request: Request, exc: RequestValidationError) -> Response:
    # Routes parse their own input today. A route that leaves it to FastAPI keeps the contract too.
    error: dict[str, Any] = exc.errors()[0]
    return respond(request, INVALID_REQUEST, str(error["msg"]), field=str(error["loc"][-1]))


async def _task_not_found(request: Request, _exc: TaskNotFound) -> Response:
    # Unknown, expired and malformed ids share one text: a response must not reveal which ids once existed.
    return respond(
        request,
        TASK_NOT_FOUND,
        "There is no task with this id. The id may be mistyped, or the task may have expired. Submit the URL again.",
    )


async def _unknown_link(request: Request, _exc: UnknownLink) -> Response:
    return respond(
        request,
        UNKNOWN_LINK,
        "This link is incomplete, or it is not from an email of this service. Copy the whole link from the email, or"
        " write to the operators of the service.",
    )


async def _task_finished(request: Request, _exc: TaskFinished) -> Response:
    return respond(
        request, TASK_FINISHED, "The task has already ended, so it can't be cancelled. GET /check shows its result."
    )


async def _key_refused(request: Request, exc: KeyRefused) -> Response:
    trail.refused("api-key", request.state.client)
    # RFC 6750, 3: no error code for a request that has no key at all.
    error = ', error="invalid_token"' if exc.unknown else ""
    return respond(request, KEY_REFUSED, str(exc), headers={"WWW-Authenticate": f'Bearer realm="urlsum"{error}'})


async def _limit_reached(request: Request, exc: LimitReached) -> Response:
    trail.refused(exc.limit, request.state.client)
    return respond(request, LIMIT_REACHED, str(exc), limit=exc.limit, headers=rate_limit.refused(exc))


async def _overloaded(request: Request, _exc: Overloaded) -> Response:
    trail.refused("all", request.state.client)
    return respond(
        request,
        OVERLOADED,
        "urlsum has as many unfinished tasks as it keeps. Nothing was accepted. Send the same request again in"
        f" {RETRY_SECONDS} seconds.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


async def _unavailable(request: Request, exc: Unavailable) -> Response:
    if not exc.reported:
        logger.warning("%s: %s", type(exc).__name__, exc)
    headers = {"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)}
    if exc.in_doubt:
        advice = TWICE_IS_TWO_TASKS if request.url.path.endswith("/submit") else TWICE_IS_ONCE
        if IDEMPOTENCY_KEY in request.headers:
            advice = SAME_KEY
        detail = f"urlsum lost its storage in the middle of this request, which may have been accepted. {advice}"
        return respond(request, OUTCOME_UNKNOWN, detail, headers=headers)
    return respond(
        request,
        UNAVAILABLE,
        "urlsum can't reach its storage right now. Nothing was accepted or changed. Send the same request again in"
        f" {UNAVAILABLE_RETRY_SECONDS} seconds.",
        headers=headers,
    )


async def _http(request: Request, exc: HTTPException) -> Response:
    status = HTTPStatus(exc.status_code)
    match status:
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return _other_method(request, exc)
        case HTTPStatus.NOT_FOUND:
            return respond(
                request,
                NOT_FOUND,
                "There is nothing at this path. Check a task with GET /check?id=…, or submit a URL with POST /submit.",
            )
    return respond(
        request, _OF_STATUS.get(status, Kind("http", status.phrase, status)), exc.detail, headers=exc.headers
    )


def _other_method(request: Request, exc: HTTPException) -> Response:
    # The router names the methods of the first route of this path only; GET and HEAD are two routes.
    named = (exc.headers or {}).get("Allow", "").replace(",", " ").split()
    path = getattr(request.scope.get("route"), "path", None)
    routes = request.app.state.methods.get(path, ())
    allow = {"Allow": ", ".join(sorted({*named, *routes, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
    return respond(request, METHOD_NOT_ALLOWED, f"This path allows {allow['Allow']}.", headers=allow)


async def _disconnected(request: Request, _exc: ClientDisconnect) -> Response:
    # The client is gone. Without this handler the log would show each closed connection as an error of urlsum.
    return respond(request, INCOMPLETE_BODY, "The connection closed before the end of the body.")


async def _unexpected(request: Request, _exc: Exception) -> Response:
    # Not logged here: Starlette re-raises the exception, and the server (uvicorn, Mangum) logs its traceback.
    return respond(request, INTERNAL_ERROR, "Something unexpected went wrong in urlsum. Try again later.")


HANDLERS: dict[int | type[Exception], Any] = {
    InvalidRequest: _invalid_request,
    RequestValidationError: _not_validated,
    KeyRefused: _key_refused,
    LimitReached: _limit_reached,
    Overloaded: _overloaded,
    TaskNotFound: _task_not_found,
    UnknownLink: _unknown_link,
    TaskFinished: _task_finished,
    Unavailable: _unavailable,
    HTTPException: _http,
    ClientDisconnect: _disconnected,
    Exception: _unexpected,
}
