"""Response Objects of the description: what the responses have in common.

https://spec.openapis.org/oas/v3.1.0#response-object
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    kind: Kind, description: str, detail: str, field: str | None = None, **headers: dict[str, Any]
) -> dict[str, Any]:
    """A problem of ``kind`` as JSON or as a page; ``field`` is the one that causes it in the example."""
    example = {"type": kind.type, "title": kind.title, "status": int(kind.status), "detail": detail}
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
