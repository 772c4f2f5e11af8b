"""GET /md5.js: the worker that computes the MD5 of a visitor's own copy, for the page of a finished task.

It is the one part of a page that is not inline: a browser starts a worker from an address only.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "md5.js"
# The page names the version that it wants, so that a browser may keep it for as long as anything (RFC 9111, 1.2.2).
HEADERS: Mapping[str, str] = {
    "Cache-Control": "public, max-age=31536000, immutable",
    # A worker has the policy of its own response: it can load nothing, and so send no byte of the file anywhere.
    # https://html.spec.whatwg.org/multipage/workers.html#script-settings-for-workers
    "Content-Security-Policy": "default-src 'none'",
}


def respond() -> Response:
    """The script. Pages import Jinja2, which this does not."""
    return Response(_text(), headers=dict(HEADERS), media_type="text/javascript")


@cache
def address() -> str:
    """The address of the script, relative to that of the service, with a digest of its text."""
    return f"{PATH}?v={hashlib.sha256(_text()).hexdigest()[:16]}"


@cache
def _text() -> bytes:
    return (Path(__file__).parent / "pages" / PATH).read_bytes()
