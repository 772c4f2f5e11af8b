"""The operations of /openapi.json, beyond what FastAPI can derive.

The routes parse their input themselves, because FastAPI's parsing is too lenient, and return finished responses. So
the descriptions are written by hand, and tests compare them with the routes.
"""

from __future__ import annotations

from typing import Any

from urlsum import __version__
from urlsum.web import plain, problems, submission
from urlsum.web.openapi import unsubscribing
from urlsum.web.openapi.response_objects import ALWAYS, SECONDS, header, or_plain, problem, ref, response
from urlsum.web.openapi.response_objects import INTERNAL_ERROR as _INTERNAL_ERROR
from urlsum.web.openapi.response_objects import UNAVAILABLE as _UNAVAILABLE
from urlsum.web.openapi.response_objects import UNAVAILABLE_WHILE_WRITING as _UNAVAILABLE_WHILE_WRITING
from urlsum.web.prefer import MOST_SECONDS

DESCRIPTION = """
The MD5 of a file on the internet, of any size, without downloading it yourself.

1. `POST /submit` with a URL returns the id of a task.
2. A worker reads the file and hashes its bytes exactly as the server sends them.
3. `GET /check?id=…` returns the progress and, at the end, the MD5. If you gave an email address, urlsum emails the
   result as well. `DELETE /check?id=…` cancels the task.

Every error is a problem as in RFC 9457 (`application/problem+json`). Programs compare its `type`; people read its
`detail`; `field` names what to change. The exceptions are `424` and `410`: regular responses of `/check` for a task
that failed or was cancelled.

Clients that prefer `text/html` to JSON in `Accept`, as browsers do, get the same responses as pages. `GET /check` with
`format=md5sum` returns plain text, whatever `Accept` says: the line that `md5sum -c` reads.
"""

TAGS = [
    {"name": "tasks", "description": "Submit the URL of a file, check the task, cancel it."},
    {"name": "email", "description": "Stop the emails to a mailbox."},
    {"name": "service", "description": "What this is, and how to use it."},
]
# Relative to the address of this document, so it holds behind a proxy and under a prefix, too.
SERVERS = [{"url": "./", "description": "The service that serves this document."}]

_ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"
_URL = "http://site.com/file.txt"
_EMAIL = "example@abc.ru"
_MD5 = "f4af8a0e1d1e8d3b5f4a9f6f2f3cbd9e"
_CREATED, _FINISHED = "2026-11-05T10:00:00Z", "2026-11-05T10:00:07Z"

_POLICY = {
    "description": "The limits of this client: `q` units of `qu` (requests, if absent) in a window of `w` seconds."
    " Absent for a client without limits. See draft-ietf-httpapi-ratelimit-headers.",
    "schema": {"type": "string"},
    "example": '"minute";q=60;w=60, "day";q=1000;w=86400, "unfinished";q=100;qu="concurrent-requests"',
}
_LIMIT = {
    "description": "What is left: `r` units for the next `t` seconds.",
    "schema": {"type": "string"},
    "example": '"minute";r=59;t=60, "day";r=999;t=86400, "unfinished";r=99',
}
_CLIENT = "You may submit 60 URLs a minute, and this limit is reached. Submit this URL again in 42 seconds."
_OVERLOADED = (
    f"{_UNAVAILABLE_WHILE_WRITING['description']} Or urlsum has as many unfinished tasks as it keeps"
    f" (`{problems.OVERLOADED.type}`)."
)

_ACCEPTED = {"id": _ID, "check_url": f"http://localhost:5000/check?id={_ID}"}
_LOCATION = header("Where to check the task.", {"type": "string", "format": "uri-reference"})

_ABOUT = {
    "tags": ["service"],
    "responses": {
        "200": response(
            "About",
            "The service and how to use it; for a browser, a form to submit a URL.",
            {
                "name": "urlsum",
                "version": __version__,
                "description": "The MD5 of a file on the internet, of any size, without downloading it yourself",
                "submit": "curl --data-urlencode url=https://example.org/file.bin http://localhost:5000/submit",
                "check": "curl 'http://localhost:5000/check?id=…'",
                "docs": "http://localhost:5000/docs",
            },
        ),
        "500": _INTERNAL_ERROR,
    },
}

_CROSS_SITE = problem(
    problems.CROSS_SITE,
    "A browser sent the request from a page on another site (`Sec-Fetch-Site: cross-site`, or a foreign `Origin`).",
    "This request came from a page on another site. Send it from a page of this site or with curl.",
)

# An API key is optional, unless the service requires one.
_SECURITY: list[dict[str, list[str]]] = [{}, {"key": []}]

_SUBMIT = {
    "tags": ["tasks"],
    "security": _SECURITY,
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A key for this request, for example a UUID. The same key with the same fields from the"
            " same client returns the same id, and nothing is hashed twice; with other fields the request is refused."
            " From another client it is another task.",
            "schema": {
                "type": "string",
                "pattern": "^[!-~]([ -~]*[!-~])?$",
                "minLength": 1,
                "maxLength": submission.IDEMPOTENCY_KEY_LIMIT,
            },
        },
    ],
    "requestBody": {
        "required": True,
        "description": f"At most {submission.BODY_LIMIT} bytes, in UTF-8. Each field at most once, and no others.",
        "content": {
            submission.URLENCODED: {
                "schema": ref("SubmissionForm"),
                "examples": {
                    "curl": {
                        "summary": f'curl -X POST -d "url={_URL}&email={_EMAIL}" http://localhost:5000/submit',
                        "value": {"url": _URL, "email": _EMAIL},
                    },
                    "expected": {
                        "summary": f"curl --data-urlencode url={_URL} -d md5={_MD5} http://localhost:5000/submit",
                        "value": {"url": _URL, "md5": _MD5},
                    },
                },
            },
            submission.MULTIPART: {"schema": ref("SubmissionMultipart"), "example": {"url": _URL, "email": _EMAIL}},
            submission.JSON: {"schema": ref("Submission"), "example": {"url": _URL, "email": _EMAIL, "md5": _MD5}},
        },
    },
    "responses": {
        "202": response(
            "Accepted",
            "Accepted: the task is stored and queued, so it can't get lost.",
            _ACCEPTED,
            Location=_LOCATION,
            RateLimit_Policy=_POLICY,
            RateLimit=_LIMIT,
        )
        | {"content": {"application/json": {"schema": ref("Accepted"), "example": _ACCEPTED}}}
        | {
            "links": {
                "check": {
                    "operationId": "check",
                    "parameters": {"id": "$response.body#/id"},
                    "description": "The progress of the task.",
                }
            }
        },
        "303": {
            "description": "The same for a browser: a redirect to the page of the task.",
            "headers": {"Location": _LOCATION} | ALWAYS,
        },
        "401": problem(
            problems.KEY_REFUSED,
            "The API key is unknown, or there is none although this service requires one.",
            "This API key is unknown. It may be mistyped, or it was revoked.",
            WWW_Authenticate=header("How to send an API key (RFC 6750).", {"type": "string", "pattern": "^Bearer "}),
        ),
        "403": _CROSS_SITE,
        "413": problem(
            problems.BODY_TOO_LARGE,
            f"The body is larger than {submission.BODY_LIMIT} bytes.",
            f"The request body is larger than {submission.BODY_LIMIT} bytes; shorten the URL.",
        ),
        "415": problem(
            problems.UNSUPPORTED_MEDIA_TYPE,
            "The body is neither a form nor JSON, is compressed, or is not declared as UTF-8.",
            f"Send the fields in UTF-8 as {submission.URLENCODED} (curl -d), {submission.JSON} or"
            f" {submission.MULTIPART} (curl -F).",
        ),
        "422": problem(
            problems.INVALID_REQUEST,
            "A field is missing, unknown, sent twice or invalid, or urlsum does not connect to this address. Nothing"
            " was stored.",
            "The URL is missing. Send the link to the file, such as https://example.org/file.bin, in the field url.",
            "url",
        ),
        "429": problem(
            problems.LIMIT_REACHED,
            "The client has reached one of its limits, which `limit` names. Nothing was stored.",
            _CLIENT,
            limit="minute",
            Retry_After=header("Seconds until the limit allows a submission again.", SECONDS),
            RateLimit_Policy=_POLICY,
            RateLimit=_LIMIT,
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE | {"description": _OVERLOADED},
    },
}

_WHICH = {
    "name": "id",
    "in": "query",
    "required": True,
    "description": "The id that POST /submit returned. Other parameters are ignored.",
    "schema": {"type": "string", "format": "uuid"},
    "example": _ID,
}
_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "`md5sum` selects plain text: once the task is done, the line that `md5sum -c` reads; before that"
    " and after a failure, a line that it rejects. The name of the file in it is `name` of the JSON response.",
    "schema": {"type": "string", "enum": [plain.FORMAT]},
}
_DOWNLOAD = {
    "name": "download",
    "in": "query",
    "description": "With `format=md5sum`, `yes` makes a browser save the line as a file. Other values are ignored.",
    "schema": {"type": "string"},
    "example": "yes",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": f"`wait=N` delays the response until the task has ended, at most N seconds and {MOST_SECONDS} in all"
    " (RFC 7240). One request then replaces a loop. A busy service, and one on AWS, responds at once, without"
    " `Preference-Applied`: ask again after `Retry-After`.",
    "schema": {"type": "string"},
    "example": "wait=20",
}
_APPLIED = {
    "description": "`wait=N` if the service has waited for the task as `Prefer` asked.",
    "schema": {"type": "string"},
}
_DISPOSITION = {
    "description": "With `download=yes`: the name of the file, which ends in .md5 (RFC 6266).",
    "schema": {"type": "string"},
}
_NOTES = {
    "description": "With `format=md5sum`: the codes of `notes` in the JSON response, separated by commas; absent if"
    " there are none.",
    "schema": {"type": "string"},
}
_NO_TASK = problem(
    problems.TASK_NOT_FOUND,
    "There is no such task. Unknown, expired and malformed ids get the same response.",
    "There is no task with this id. The id may be mistyped, or the task may have expired. Submit the URL again.",
)
_END = {"url": _URL, "created_at": _CREATED, "finished_at": _FINISHED}
_CANCELLED = {"id": _ID, "status": "cancelled", "complete": True, **_END}

_CHECK = {
    "tags": ["tasks"],
    "parameters": [_WHICH, _FORMAT, _DOWNLOAD, _PREFER],
    "responses": {
        "200": or_plain(
            response(
                "Done",
                "Done: the MD5 of one complete version of the file.",
                {
                    "id": _ID,
                    "status": "done",
                    "complete": True,
                    "url": _URL,
                    "md5": _MD5,
                    "size": 734003200,
                    "name": "file.txt",
                    "final_url": "http://cdn.site.com/f/81?…",
                    "content_type": "text/html",
                    "etag": '"5f8-abc"',
                    "last_modified": "2026-10-30T08:15:00Z",
                    "version": {"etag": '"5f8-abc"', "last_modified": "2026-10-30T08:15:00Z", "proof": "etag"},
                    "notes": [
                        {
                            "code": "web-page",
                            "message": "The server sent a web page (text/html, 700.0 MiB). Is this the file you meant?",
                        }
                    ],
                    "expected_md5": _MD5,
                    "match": True,
                    "seconds": 7.0,
                    "created_at": _CREATED,
                    "finished_at": _FINISHED,
                },
                Content_Disposition=_DISPOSITION,
                Urlsum_Notes=_NOTES,
                Preference_Applied=_APPLIED,
            )
        ),
        "202": or_plain(
            response(
                "Waiting",
                "Queued or running: check again after Retry-After.",
                {
                    "id": _ID,
                    "status": "running",
                    "complete": False,
                    "url": _URL,
                    "activity": "hashing",
                    "progress": {
                        "bytes": 367001600,
                        "total": 734003200,
                        "percent": 50.0,
                        "bytes_per_second": 104857600,
                        "eta_seconds": 4,
                        "resumed_from": None,
                        "restarts": 0,
                    },
                    "created_at": _CREATED,
                },
                Retry_After=header("Seconds to wait before checking again.", SECONDS),
                Preference_Applied=_APPLIED,
            )
        ),
        "404": _NO_TASK,
        "410": or_plain(response("Cancelled", "Cancelled by DELETE /check: there is no MD5.", _CANCELLED)),
        "424": or_plain(
            response(
                "Failed",
                "Failed: there is no MD5, and `error` says why.",
                {
                    "id": _ID,
                    "status": "failed",
                    "complete": True,
                    "url": _URL,
                    "error": {"code": "http", "message": "the server answered 404 Not Found"},
                    "created_at": _CREATED,
                    "finished_at": _FINISHED,
                },
            )
        ),
        "422": problem(
            problems.INVALID_REQUEST,
            "The id is missing or was sent twice, or the format is unknown.",
            "The only value of format is md5sum. Leave format out to get JSON or a page.",
            "format",
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE,
    },
}

_CANCEL: dict[str, Any] = {
    "tags": ["tasks"],
    "parameters": [_WHICH],
    "responses": {
        "200": response("Cancelled", "Cancelled, by this request or an earlier one.", _CANCELLED),
        "403": _CROSS_SITE,
        "404": _NO_TASK,
        "409": problem(
            problems.TASK_FINISHED,
            "The task is done or has failed, so it can't be cancelled. Nothing was changed.",
            "The task has already ended, so it can't be cancelled. GET /check shows its result.",
        ),
        "422": problem(
            problems.INVALID_REQUEST,
            "The id is missing or was sent twice.",
            "The id is missing. Use /check?id=… with the id that POST /submit returned.",
            "id",
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE_WHILE_WRITING,
    },
}

_CANCEL_BY_FORM = {
    "tags": ["tasks"],
    "parameters": [
        _WHICH,
        {
            "name": "cancel",
            "in": "query",
            "required": True,
            "description": "Says that the task is to be cancelled.",
            "schema": {"type": "string", "const": "yes"},
        },
    ],
    "responses": _CANCEL["responses"]
    | {
        "303": {
            "description": "For a browser, whether the task was cancelled or had already ended.",
            "headers": {"Location": _LOCATION} | ALWAYS,
        },
        "422": problem(
            problems.INVALID_REQUEST,
            "Without `cancel=yes` nothing is cancelled.",
            "POST /check cancels a task: add cancel=yes to the query string. To submit a URL, POST /submit.",
            "cancel",
        ),
    },
}

OPERATIONS = {
    ("/", "get"): _ABOUT,
    ("/submit", "post"): _SUBMIT,
    ("/check", "get"): _CHECK,
    ("/check", "delete"): _CANCEL,
    ("/check", "post"): _CANCEL_BY_FORM,
    **unsubscribing.OPERATIONS,
}
