"""The response models as HTML pages.

Pages work without scripts and cookies: style and scripts are inline, and the Content-Security-Policy allows no others.
Only the page of a finished task loads something, the worker of ``urlsum.web.script``, once a visitor has chosen a file
to compare. Only requests for a page import this module, because Jinja2 slows a cold start down.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from urlsum.text.redact import CAUSES, one_line
from urlsum.text.remarks import PROOFS
from urlsum.web import script
from urlsum.web.models import About, Problem, Subscription
from urlsum.web.negotiation import HTML, auto_refresh
from urlsum.web.pages.filters import FILTERS
from urlsum.web.task_models import Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from urlsum.web.task_models import TaskModel

FORM_FIELDS = ("url", "md5", "email", "fresh")
COMMON = ("common.js",)
# The scripts of a page, and what the policy must allow for them.
SCRIPTS = {
    "form.html": ("common.js", "form.js"),
    "waiting.html": ("common.js", "live.js"),
    "done.html": ("common.js", "done.js"),
    "unsubscribe.html": (),
}
NEEDS = {"waiting.html": "connect-src 'self'", "done.html": "worker-src 'self'"}


def respond(
    model: About | Subscription | TaskModel | Problem,
    request: Request,
    status: int,
    headers: Mapping[str, str],
    *,
    home: str,
) -> Response:
    """The page of ``model``: for About, and for a problem with a submitted form, that is the form."""
    if isinstance(model, Subscription):
        return _page("unsubscribe.html", status, headers, home=home, suppressed=model.suppressed)
    if isinstance(model, About):
        # A link may fill the form: of a bookmarklet, or to edit a submission.
        form: dict[str, object] = {"typed": _kept(request.query_params), "problem": None}
        form["needs_key"] = _needs_key(request)
        return _page("form.html", status, headers, home=home, command=model.submit, **form)
    if isinstance(model, Waiting) and request.query_params.get("cancel") == "ask":
        return _page("cancel.html", status, headers, home=home, task=model)
    if not isinstance(model, Problem):
        return _task(model, status, headers, home=home, refreshes=auto_refresh(request))
    if request.method == "GET" and "Retry-After" in headers:
        again = f"?{urlencode({'id': request.query_params.get('id', '')})}"
        return _temporary_problem(model, headers, home=home, again=again, refreshes=auto_refresh(request))
    typed = getattr(request.state, "typed", None)
    return _problem(model, headers, home=home, typed=typed, needs_key=_needs_key(request))


def reference(document: Mapping[str, Any], home: str) -> tuple[str, Mapping[str, str]]:
    """The page of the API's description, and its policy."""
    text = _environment().get_template("docs.html").render(document=document, home=home)
    return text, _policy((), None, "docs.css")


def _needs_key(request: Request) -> bool:
    """Whether the form asks for an API key: the handler of the request says so in its state."""
    return getattr(request.state, "needs_key", False)


def _task(model: TaskModel, status: int, headers: Mapping[str, str], *, home: str, refreshes: bool) -> Response:
    """The page of ``/check``. That of an unfinished task reloads itself after Retry-After if it ``refreshes``."""
    refresh = headers.get("Retry-After")
    template = "waiting.html" if refresh else f"{model.status}.html"
    return _page(template, status, headers, home=home, task=model, refresh=refresh, refreshes=refreshes)


def _problem(
    model: Problem, headers: Mapping[str, str], *, home: str, typed: Mapping[str, str] | None, needs_key: bool
) -> Response:
    """A problem as a page; as the form with what was ``typed`` into it, so that people can correct it."""
    if typed is None:
        return _page("problem.html", model.status, headers, home=home, problem=model, refresh=None)
    form = {"typed": _kept(typed), "problem": model, "needs_key": needs_key}
    return _page("form.html", model.status, headers, home=home, command=None, **form)


def _kept(typed: Mapping[str, str]) -> dict[str, str]:
    """What a request has for the fields of the form, without what a page must not contain.

    That is control characters and halves of surrogate pairs.
    """
    return {name: one_line(typed[name], len(typed[name])) for name in FORM_FIELDS if typed.get(name)}


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
    scripts = SCRIPTS.get(template, COMMON)
    text = _environment().get_template(template).render(context, scripts=scripts)
    return Response(text, status, {**headers, **_policy(scripts, NEEDS.get(template), "style.css")}, media_type=HTML)


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
    environment.filters |= FILTERS
    environment.globals |= {"causes": CAUSES, "fields": FORM_FIELDS, "proofs": PROOFS, "worker": script.address()}
    return environment


@cache
def _policy(scripts: tuple[str, ...], needs: str | None, style: str) -> dict[str, str]:
    """The headers of a page: it loads and runs only its own parts, stays out of frames, and posts to urlsum only."""
    directives = [
        "default-src 'none'",
        f"style-src '{_hash(style)}'",
        *([" ".join(["script-src", *(f"'{_hash(script)}'" for script in scripts)])] if scripts else []),
        *([needs] if needs else []),
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(directives),  # https://www.w3.org/TR/CSP3/
        # The address of a task's page grants access to it.
        "Referrer-Policy": "no-referrer",
    }


def _hash(part: str) -> str:
    text = _environment().get_template(part).render().encode()
    return f"sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}"
