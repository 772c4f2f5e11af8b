"""What the request asks for: a page or JSON (``Accept``; RFC 9110, 12.5.1), and whether a page refreshes itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

HTML = "text/html"
JSON = "application/json"
# A client that names it, even alone, is a program that reads JSON.
PROBLEM = "application/problem+json"

# A q-value has at most three decimals (RFC 9110, 12.4.2). An invalid one is ignored.
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def wants_page(request: Request) -> bool:
    """Whether the caller prefers HTML to JSON.

    Browsers name text/html. All other clients get JSON: without a preference (curl sends ``*/*``), without an Accept
    header, and also when they accept neither, since JSON serves them better than a refusal.
    """
    qualities = _qualities(",".join(request.headers.getlist("Accept")))
    return _quality_of(HTML, qualities) > max(_quality_of(JSON, qualities), qualities.get(PROBLEM, 0))


def auto_refresh(request: Request) -> bool:
    """Whether the page may refresh itself: people must be able to stop one that does (WCAG 2.2, 2.2.2)."""
    return request.query_params.get("refresh") != "no"


def _qualities(accept: str) -> dict[str, float]:
    """Each media range with its q-value; the last one of a range that is named twice."""
    qualities: dict[str, float] = {}
    for element in accept.split(","):
        # Parameters of the media type (charset, profile) are ignored: there is one HTML and one JSON.
        media_range, *parameters = (part.strip() for part in element.lower().split(";"))
        quality = next((value for name, _, value in (each.partition("=") for each in parameters) if name == "q"), "1")
        if media_range:
            qualities[media_range] = float(quality) if _QUALITY.fullmatch(quality) else 1.0
    return qualities


def _quality_of(media_type: str, qualities: dict[str, float]) -> float:
    """The q-value of a type: that of the most specific range that covers it."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in qualities:
            return qualities[media_range]
    return 0.0 if qualities else 1.0
