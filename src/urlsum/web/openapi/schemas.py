"""The schemas of /openapi.json: the body of a submission, written by hand, and the answers, from their models."""

from __future__ import annotations

import re
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic.json_schema import models_json_schema

from urlsum.web import models

# Names that lead to nobody on the internet (RFC 6761): an address there is refused.
_UNMAILED = f"[@.]({'|'.join(map(re.escape, SPECIAL_USE_DOMAIN_NAMES))})$"

SUBMISSION: dict[str, Any] = {
    "title": "Submission",
    "type": "object",
    "description": "What to hash, and who wants to know.",
    "properties": {
        "url": {
            "type": "string",
            "format": "uri",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
            "description": "Where the file is: http or https, on a public host. In a form, encode `&`, `+` and `%` of"
            " the URL (`curl --data-urlencode`).",
        },
        "email": {
            "type": "string",
            "description": "Where to mail the result; one address. Empty or left out: no mail.",
            "anyOf": [{"format": "email", "maxLength": 254, "not": {"pattern": _UNMAILED}}, {"maxLength": 0}],
        },
        "md5": {
            "type": "string",
            "description": "The digest that you expect: `match` then tells whether the file has it. May be empty.",
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
    """The schemas that urlsum.web.openapi.operations refers to, by name."""
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
    # Fields that are left out when they are empty are not required, whatever serialization schemas assume.
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
