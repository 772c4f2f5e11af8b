"""The operations of /unsubscribe in /openapi.json."""

from __future__ import annotations

from urlsum.web import problems, submission
from urlsum.web.openapi.response_objects import (
    INTERNAL_ERROR,
    UNAVAILABLE,
    UNAVAILABLE_WHILE_WRITING,
    problem,
    response,
)

_TOKEN = {
    "name": "token",
    "in": "query",
    "required": True,
    "description": "From the link in the email. Other parameters are ignored.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{64}$"},
}
_NO_LINK = problem(
    problems.UNKNOWN_LINK,
    "The token is not from an email of this service.",
    "This link is incomplete, or it is not from an email of this service. Copy the whole link from the email, or write"
    " to the operators of the service.",
)

_SUBSCRIPTION = {
    "tags": ["email"],
    "parameters": [_TOKEN],
    "responses": {
        "200": response(
            "Subscription",
            "Whether email is sent; for a browser, a page with a button that stops it.",
            {"suppressed": False},
        ),
        "404": _NO_LINK,
        "500": INTERNAL_ERROR,
        "503": UNAVAILABLE,
    },
}

_UNSUBSCRIBE = {
    "tags": ["email"],
    "parameters": [_TOKEN],
    "requestBody": {
        "description": "What mail programs send (RFC 8058, 3.2); it is ignored.",
        "content": {
            submission.URLENCODED: {
                "schema": {
                    "type": "object",
                    "properties": {"List-Unsubscribe": {"type": "string", "const": "One-Click"}},
                }
            }
        },
    },
    "responses": {
        "200": response("Subscription", "No more email is sent to the mailbox, for good.", {"suppressed": True}),
        "404": _NO_LINK,
        "500": INTERNAL_ERROR,
        "503": UNAVAILABLE_WHILE_WRITING,
    },
}

OPERATIONS = {("/unsubscribe", "get"): _SUBSCRIPTION, ("/unsubscribe", "post"): _UNSUBSCRIBE}
