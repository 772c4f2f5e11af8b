"""Response model → JSON, a page or plain text, as the client prefers, with the headers that every response has."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import Response

from urlsum.web import plain
from urlsum.web.models import Problem
from urlsum.web.negotiation import JSON, PROBLEM, wants_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from urlsum.settings import Settings
    from urlsum.web.models import About, Accepted, Subscription
    from urlsum.web.task_models import TaskModel

# A task may change at any time, and caches may store 404, 405, 410 and 501 by default (RFC 9110, 15.1). Accept selects
# JSON or a page, so caches on the way must know it (RFC 9110, 12.5.5).
HEADERS = {"Cache-Control": "no-store", "Vary": "Accept"}

# The member of the ASGI scope with the path as the client sent it, where another one is routed.
SENT_PATH = "urlsum.sent_path"


def respond(
    model: About | Subscription | TaskModel | Problem,
    request: Request,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    *,
    home: str,
) -> Response:
    """``model`` as JSON or, for a browser, as a page that links to ``home``."""
    all_headers = {**HEADERS, **(headers or {})}
    if wants_page(request):
        from urlsum.web import pages  # noqa: PLC0415 - Jinja2, for browsers only

        return pages.respond(model, request, status, all_headers, home=home)
    media_type = PROBLEM if isinstance(model, Problem) else JSON
    return Response(model.model_dump_json(), status, all_headers, media_type=media_type)


def respond_or_plain(
    model: TaskModel, request: Request, status: int, headers: Mapping[str, str], *, home: str
) -> Response:
    """``model`` in the ``format`` of the query string, else as ``respond`` does. Raises InvalidRequest."""
    if plain.wanted(request):
        return plain.respond(model, request, status, {**HEADERS, **headers})
    return respond(model, request, status, headers, home=home)


def respond_or_redirect(
    model: Accepted, request: Request, status: int, location: str, fields: Mapping[str, str]
) -> Response:
    """``model`` as JSON with ``location`` and ``fields`` in headers; a browser is redirected there without them."""
    if wants_page(request):
        return see_other(location)
    return Response(model.model_dump_json(), status, {**HEADERS, "Location": location, **fields}, media_type=JSON)


def see_other(location: str) -> Response:
    """Lead a browser from a form to a page."""
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={**HEADERS, "Location": location})


def home(request: Request, settings: Settings | None = None) -> str:
    """The path of ``/`` as clients see it, with a trailing slash.

    Without ``settings``, which may have caused the problem that is shown, it is relative to the path of the request.
    """
    prefix: str = request.scope.get("root_path", "")
    if settings is None:
        path: str = request.scope.get(SENT_PATH, request.scope["path"]).removeprefix(prefix)
        return "../" * (path.count("/") - 1) or "./"
    # root_path does not contain a prefix that a proxy strips; PUBLIC_URL does.
    return (prefix or urlsplit(settings.public_url or "").path).rstrip("/") + "/"
