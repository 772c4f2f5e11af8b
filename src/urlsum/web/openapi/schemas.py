"""The schemas of /openapi.json: the submission, written by hand, and the responses, from their models."""

from __future__ import annotations

import re
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic.json_schema import models_json_schema

from urlsum.web import models

# Special-use domains (RFC 6761) receive no email from the internet, so their addresses are refused.
_SPECIAL_USE = f"[@.]({'|'.join(map(re.escape, SPECIAL_USE_DOMAIN_NAMES))})$"

SUBMISSION: dict[str, Any] = {
    "title": "Submission",
    "type": "object",
    "description": "The file to hash, and who gets the result.",
    "properties": {
        "url": {
            "type": "string",
            "format": "uri",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
            "description": "The URL of the file: http or https, on a public host. In a form, percent-encode `&`, `+`"
            " and `%` (`curl --data-urlencode` does).",
        },
        "email": {
            "type": "string",
            "description": "The email address for the result; only one. If empty or absent, no email is sent.",
            "anyOf": [{"format": "email", "maxLength": 254, "not": {"pattern": _SPECIAL_USE}}, {"maxLength": 0}],
        },
        "md5": {
            "type": "string",
            "description": "The MD5 that you expect; `match` of the result says whether the file has it. May be empty.",
            "pattern": "^([0-9A-Fa-f]{32})?$",
        },
    },
    "required": ["url"],
    "additionalProperties": False,
}

_SOMETIMES = {
    "Waiting": ("expected_md5", "retry"),
    "Done": ("expected_md5", "match"),
    "Failed": ("expected_md5",),
    "Cancelled": ("expected_md5",),
    "Problem": ("field",),
}


def components() -> dict[str, Any]:
    """The schemas that the operations refer to, by name."""
    described = (
        models.About,
        models.Accepted,
        models.Waiting,
        models.Done,
        models.Failed,
        models.Cancelled,
        models.Problem,
    )
    _, schema = models_json_schema(
        [(model, "serialization") for model in described], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    # Serialization schemas require every field, but some are absent when they are empty.
    for name, fields in _SOMETIMES.items():
        for field in fields:
            _optional(definitions[name], field)
    return {"Submission": SUBMISSION, **definitions}


def _optional(definition: dict[str, Any], field: str) -> None:
    definition["required"] = [name for name in definition["required"] if name != field]
    described = definition["properties"][field]
    kind = next(option for option in described.pop("anyOf") if option.get("type") != "null")
    described.pop("default", None)
    described |= kind
