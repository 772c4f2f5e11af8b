"""The response models as HTML pages.

Pages work without scripts and cookies and load nothing: style and script are inline, and the Content-Security-Policy
allows no others. Only requests for a page import this module, because Jinja2 slows a cold start down.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from urlsum.text import md5sum
from urlsum.text.format import human_bytes, shown_url
from urlsum.text.redact import CAUSES, one_line
from urlsum.text.remarks import PROOFS
from urlsum.web.models import About, Problem
from urlsum.web.negotiation import HTML, auto_refresh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.requests import Request

    from urlsum.web.models import TaskModel

FORM_FIELDS = ("url", "md5", "email")
# The script of a page, if it has one, and what the policy must allow for it.
SCRIPTS = {"waiting.html": ("live.js", "connect-src 'self'"), "done.html": ("copy.js",)}
# Two units are precise enough: in a wait of hours, seconds do not matter.
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def respond(
    model: About | TaskModel | Problem, request: Request, status: int, headers: Mapping[str, str], *, home: str
) -> Response:
    """The page of ``model``: for About, and for a problem with a submitted form, that is the form."""
    if isinstance(model, About):
        return _page("form.html", status, headers, home=home, command=model.submit, typed={}, problem=None)
    if not isinstance(model, Problem):
        return _task(model, status, headers, home=home, refreshes=auto_refresh(request))
    if request.method == "GET" and "Retry-After" in headers:
        again = f"?{urlencode({'id': request.query_params.get('id', '')})}"
        return _temporary_problem(model, headers, home=home, again=again, refreshes=auto_refresh(request))
    return _problem(model, headers, home=home, typed=getattr(request.state, "typed", None))


def _task(model: TaskModel, status: int, headers: Mapping[str, str], *, home: str, refreshes: bool) -> Response:
    """The page of ``/check``. That of an unfinished task reloads itself after Retry-After if it ``refreshes``."""
    refresh = headers.get("Retry-After")
    template = "waiting.html" if refresh else f"{model.status}.html"
    return _page(template, status, headers, home=home, task=model, refresh=refresh, refreshes=refreshes)


def _problem(model: Problem, headers: Mapping[str, str], *, home: str, typed: Mapping[str, str] | None) -> Response:
    """A problem as a page; as the form with what was ``typed`` into it, so that people can correct it."""
    if typed is None:
        return _page("problem.html", model.status, headers, home=home, problem=model, refresh=None)
    # A request may contain what a page must not: control characters and halves of surrogate pairs.
    kept = {name: one_line(typed[name], len(typed[name])) for name in FORM_FIELDS if typed.get(name)}
    return _page("form.html", model.status, headers, home=home, command=None, typed=kept, problem=model)


def _temporary_problem(
    model: Problem, headers: Mapping[str, str], *, home: str, again: str, refreshes: bool
) -> Response:
    """A temporary problem on the way to a task: if it ``refreshes``, the page loads ``again`` after Retry-After.

    The header Refresh needs no script. Without it one failed response would leave the viewer of a task on this page.
    https://html.spec.whatwg.org/multipage/speculative-loading.html#the-refresh-header
    """
    refresh = headers["Retry-After"]
    all_headers = {**headers, "Refresh": f"{refresh}; url={again}"} if refreshes else headers
    return _page(
        "problem.html",
        model.status,
        all_headers,
        home=home,
        problem=model,
        refresh=refresh,
        again=again,
        refreshes=refreshes,
    )


def _page(template: str, status: int, headers: Mapping[str, str], **context: object) -> Response:
    script, *needs = SCRIPTS.get(template, (None,))
    text = _environment().get_template(template).render(context, script=script)
    return Response(text, status, {**headers, **_policy(script, *needs)}, media_type=HTML)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # installed files do not change while the service runs
    )
    environment.filters |= {
        "bytes": human_bytes,
        "duration": duration,
        "md5sum": md5sum.line,
        "moment": _moment,
        "name": md5sum.name_of,
        "prefix": _prefix,
        "reason": lambda message, url: message.removeprefix(_prefix(url)),
    }
    environment.globals |= {"causes": CAUSES, "fields": FORM_FIELDS, "proofs": PROOFS}
    return environment


@cache
def _policy(script: str | None, *needs: str) -> dict[str, str]:
    """The headers of a page: it loads and runs only its own parts, stays out of frames, and posts to urlsum only."""
    directives = [
        "default-src 'none'",
        f"style-src '{_hash('style.css')}'",
        *([f"script-src '{_hash(script)}'"] if script else []),
        *needs,
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(directives),  # https://www.w3.org/TR/CSP3/
        "X-Content-Type-Options": "nosniff",
        # The address of a task's page grants access to it.
        "Referrer-Policy": "no-referrer",
    }


def _hash(part: str) -> str:
    text = _environment().get_template(part).render().encode()
    return f"sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}"


def duration(seconds: int) -> str:
    """``seconds`` in the two largest units that are not zero.

    >>> duration(0), duration(59), duration(3600), duration(93784)
    ('0 s', '59 s', '1 h', '1 d 2 h')
    """
    parts: list[str] = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _prefix(url: str) -> str:
    """The beginning of messages about the origin; pages leave it out, since they show the URL already."""
    return f"{shown_url(url)}: "


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
