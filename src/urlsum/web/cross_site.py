"""Requests from pages on other sites: refused (CSRF), unless ALLOWED_ORIGINS names the site (CORS)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 - FastAPI resolves the annotations when the app is built

from urlsum import wiring
from urlsum.wiring import Services  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from urlsum.settings import Settings

# What a script may read besides the body.
EXPOSED = ("Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After", "Urlsum-Notes")
DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


async def refuse_cross_site(request: Request, services: Annotated[Services, Depends(wiring.provided)]) -> None:
    """Raise HTTPException with 403 if the request came from another site's page. A FastAPI dependency.

    A stranger's page could make a visitor's browser submit to an internal urlsum, and have the result emailed out.
    Browsers say where a request came from, in two headers that no page can change:

    - ``Sec-Fetch-Site``, to https and localhost only (https://www.w3.org/TR/fetch-metadata/). ``same-origin`` and
      ``none`` are the browser's own word, which holds behind a proxy that rewrites Host too.
    - ``Origin`` (RFC 6454, 7) in each POST and DELETE. It must be that of ``PUBLIC_URL``, or have the host and port of
      the request's Host. ``null`` is our own form's, under its Referrer-Policy.

    Other programs send neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):
        return
    origins = [origin for origin in request.headers.getlist("Origin") if origin != "null"]
    host, public_url = request.headers.get("Host", ""), services.settings.public_url
    if origins and all(origin.lower() in services.settings.allowed_origins for origin in origins):
        return
    if site == "cross-site" or not all(_is_own(origin, host, public_url) for origin in origins):
        raise HTTPException(
            HTTPStatus.FORBIDDEN,
            "This request came from a page on another site. Send it from a page of this site or with curl.",
        )


def allow_origins(app: ASGIApp, settings: Settings) -> ASGIApp:
    """``app`` that lets pages of ALLOWED_ORIGINS call it (https://fetch.spec.whatwg.org/#http-cors-protocol).

    No cookies: urlsum has none. What a page may send and read is what the API has.
    """
    if not settings.allowed_origins:
        return app
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415 - rarely needed

    return CORSMiddleware(
        app,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "Prefer"),
        expose_headers=(
            "Location",
            "Preference-Applied",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
            "Urlsum-Notes",
        ),
        max_age=600,  # seconds that a browser remembers it; 5 s unless said, and Chromium's most is 7,200
    )


def _is_own(origin: str, host: str, public_url: str | None) -> bool:
    try:
        scheme, name, port = _origin(origin)
        if scheme not in DEFAULT_PORTS:
            return False
        # The scheme may differ: TLS may end at a proxy.
        return (name, port) == _origin(f"{scheme}://{host}")[1:] or (
            public_url is not None and (scheme, name, port) == _origin(public_url)
        )
    except ValueError:  # a malformed port or IPv6 address
        return False


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL. Raises ValueError."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)
