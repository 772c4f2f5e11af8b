"""The schemas of /openapi.json: the submission, written by hand, and the responses, from their models."""

from __future__ import annotations

import re
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic.json_schema import models_json_schema

from urlsum.web import models, task_models

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
            "anyOf": [
                {"format": "email", "maxLength": 254, "not": {"pattern": _SPECIAL_USE}},
                {"pattern": r"^\s*$"},
            ],
        },
        "md5": {
            "type": "string",
            "description": "The MD5 that you expect; `match` of the result says whether the file has it. May be empty."
            " Other usual forms are read too: a line of md5sum, `md5:…`, and base64 as in Content-MD5. Without it, an"
            " MD5 in the fragment of the URL counts: `#md5=…`.",
            "pattern": r"^\s*([0-9A-Fa-f]{32}\s*)?$",
        },
        "fresh": {
            "type": "string",
            "description": "true reads the file even if its MD5 is known. A client may do so only some times a day.",
            "enum": ["true", "false", ""],
        },
        "key": {
            "type": "string",
            "pattern": "^([A-Za-z0-9._~+/-]+=*)?$",
            "description": "An API key, for forms; programs send it as `Authorization: Bearer`. Services that have no"
            " keys ignore it.",
        },
    },
    "required": ["url"],
    "additionalProperties": False,
}
# The same fields in each of the media types. Generated clients choose the media type by the type of the body, so each
# has a schema of its own.
SUBMISSIONS = {
    "Submission": SUBMISSION,
    "SubmissionForm": SUBMISSION | {"title": "SubmissionForm"},
    "SubmissionMultipart": SUBMISSION | {"title": "SubmissionMultipart"},
}

TASK: dict[str, Any] = {
    "title": "Task",
    "description": "A task in any state; `status` says which.",
    "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Waiting", "Done", "Failed", "Cancelled")],
    "discriminator": {
        "propertyName": "status",
        "mapping": {
            status: f"#/components/schemas/{name}"
            for status, name in {
                "queued": "Waiting",
                "running": "Waiting",
                "done": "Done",
                "failed": "Failed",
                "cancelled": "Cancelled",
            }.items()
        },
    },
}

SECURITY: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, if this service gives out keys. It has limits of its own. Without one, the limits"
        " are those of the client's address.",
    }
}

_SOMETIMES = {
    "Waiting": ("expected_md5", "retry"),
    "Done": ("expected_md5", "match"),
    "Failed": ("expected_md5",),
    "Cancelled": ("expected_md5",),
    "Problem": ("field", "limit"),
}


def components() -> dict[str, Any]:
    """The schemas that the operations refer to, by name."""
    described = (
        models.About,
        models.Accepted,
        task_models.Waiting,
        task_models.Done,
        task_models.Failed,
        task_models.Cancelled,
        models.Subscription,
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
    return {**SUBMISSIONS, "Task": TASK, **{name: _open(definition) for name, definition in definitions.items()}}


def _open(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON Schema
    """``schema`` of a response, open to what later versions add: fields, and values of a field that has several.

    A generated client would otherwise refuse the responses of a newer service. ``x-extensible-enum`` names the values
    of today: https://opensource.zalando.com/restful-api-guidelines/#112
    """
    if isinstance(schema, list):
        return [_open(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    opened = {key: _open(value) for key, value in schema.items() if key not in ("additionalProperties", "enum")}
    if "enum" in schema:
        opened["x-extensible-enum"] = schema["enum"]
    return opened


def _optional(definition: dict[str, Any], field: str) -> None:
    definition["required"] = [name for name in definition["required"] if name != field]
    described = definition["properties"][field]
    kind = next(option for option in described.pop("anyOf") if option.get("type") != "null")
    described.pop("default", None)
    described |= kind
