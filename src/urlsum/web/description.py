"""GET /openapi.json and GET /docs: the description of the API, stored beside this module, as JSON and as a page.

Building it from the routes takes half a second of a core and knows only the routes of one function. So `make openapi`
stores it, and a test compares it with the routes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from urlsum.web.negotiation import HTML, JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("openapi") / "openapi.json"
# It changes with a new version of the service only.
HEADERS = {"Cache-Control": "max-age=3600"}


def as_json() -> Response:
    """The response to GET /openapi.json."""
    return Response(FILE.read_bytes(), headers=HEADERS, media_type=JSON)


def as_page(home: str) -> Response:
    """The response to GET /docs: a page that loads nothing and needs no script."""
    from urlsum.web import pages  # noqa: PLC0415 - Jinja2, for this page only

    text, policy = pages.reference(_document(), home)
    return Response(text, headers={**HEADERS, **policy}, media_type=HTML)


@cache
def _document() -> Mapping[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_bytes())
    return document
