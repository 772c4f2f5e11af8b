"""Response Objects of the description: what the responses have in common.

https://spec.openapis.org/oas/v3.1.0#response-object
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from urlsum.web import problems
from urlsum.web.negotiation import JSON, PROBLEM

if TYPE_CHECKING:
    from urlsum.web.models import Kind

SECONDS = {"type": "string", "pattern": "^[0-9]+$"}

_PAGE = {"text/html": {"schema": {"type": "string", "description": "The same response as an HTML page."}}}
_PLAIN = {"text/plain": {"schema": {"type": "string", "description": "With format=md5sum: one line of text."}}}


def ref(model: str) -> dict[str, str]:
    """A reference to the schema of ``model``."""
    return {"$ref": f"#/components/schemas/{model}"}


def header(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A header that each such response has."""
    return {"description": description, "required": True, "schema": schema}


ALWAYS = {
    "Cache-Control": header("Responses must not be cached.", {"type": "string", "const": "no-store"}),
    "Vary": header("The request header that selects JSON or a page.", {"type": "string", "const": "Accept"}),
}


def response(model: str, description: str, example: dict[str, Any], **headers: dict[str, Any]) -> dict[str, Any]:
    """A response as JSON or as a page; the names of ``headers`` have underscores for hyphens."""
    return {
        "description": description,
        "headers": _named(headers) | ALWAYS,
        "content": {JSON: {"schema": ref(model), "example": example}} | _PAGE,
    }


def or_plain(described: dict[str, Any]) -> dict[str, Any]:
    """The response ``described``, also as plain text."""
    return described | {"content": described["content"] | _PLAIN}


def problem(
    kind: Kind,
    description: str,
    detail: str,
    field: str | None = None,
    *,
    limit: str | None = None,
    **headers: dict[str, Any],
) -> dict[str, Any]:
    """A problem of ``kind`` as JSON or as a page; ``field`` is the one that causes it in the example."""
    example = {"type": kind.type, "title": kind.title, "status": int(kind.status), "detail": detail}
    example |= {"limit": limit} if limit else {}
    blamed = field or kind.field
    return {
        "description": description,
        "headers": _named(headers) | ALWAYS,
        "content": {
            PROBLEM: {
                "schema": ref("Problem"),
                "example": example | ({"field": blamed} if blamed else {}),
            }
        }
        | _PAGE,
    }


def _named(headers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name.replace("_", "-"): described for name, described in headers.items()}


INTERNAL_ERROR = problem(
    problems.INTERNAL_ERROR, "An error in urlsum.", "Something unexpected went wrong in urlsum. Try again later."
)
UNAVAILABLE = problem(
    problems.UNAVAILABLE,
    "The storage is unavailable; nothing was accepted or changed.",
    "urlsum can't reach its storage right now. Nothing was accepted or changed. Send the same request again in 5"
    " seconds.",
    Retry_After=header("Seconds to wait before the next attempt.", SECONDS),
)
# Of requests that write. GET changes nothing in any case.
UNAVAILABLE_WHILE_WRITING = UNAVAILABLE | {
    "description": f"{UNAVAILABLE['description']} Or the storage failed in the middle of the request"
    f" (`{problems.OUTCOME_UNKNOWN.type}`): the request may have taken effect all the same."
}
