"""The operations of /openapi.json, beyond what FastAPI can derive.

The routes parse their input themselves, because FastAPI's parsing is too lenient, and return finished responses. So
the descriptions are written by hand, and tests compare them with the routes.
"""

from __future__ import annotations

from urlsum import __version__
from urlsum.web import plain, problems, submission
from urlsum.web.openapi.response_objects import ALWAYS, SECONDS, header, or_plain, problem, ref, response

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

_ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"
_URL = "http://site.com/file.txt"
_EMAIL = "example@abc.ru"
_MD5 = "f4af8a0e1d1e8d3b5f4a9f6f2f3cbd9e"
_CREATED, _FINISHED = "2026-11-05T10:00:00Z", "2026-11-05T10:00:07Z"

_INTERNAL_ERROR = problem(
    problems.INTERNAL_ERROR, "An error in urlsum.", "Something unexpected went wrong in urlsum. Try again later."
)
_UNAVAILABLE = problem(
    problems.UNAVAILABLE,
    "The storage is unavailable; nothing was accepted or changed.",
    "urlsum can't reach its storage right now. Nothing was accepted or changed. Send the same request again in 5"
    " seconds.",
    Retry_After=header("Seconds to wait before the next attempt.", SECONDS),
)

_LOCATION = header("Where to check the task.", {"type": "string", "format": "uri-reference"})

_ABOUT = {
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
            },
        ),
        "500": _INTERNAL_ERROR,
    },
}

_SUBMIT = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A key for this request, for example a UUID. The same key with the same fields returns the"
            " same id, and nothing is hashed twice; with other fields the request is refused.",
            "schema": {
                "type": "string",
                "pattern": "^[!-~]([ -~]*[!-~])?$",
                "minLength": 1,
                "maxLength": submission.IDEMPOTENCY_KEY_LIMIT,
            },
        }
    ],
    "requestBody": {
        "required": True,
        "description": f"At most {submission.BODY_LIMIT} bytes, in UTF-8. Each field at most once, and no others.",
        "content": {
            submission.URLENCODED: {
                "schema": ref("Submission"),
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
            submission.MULTIPART: {"schema": ref("Submission"), "example": {"url": _URL, "email": _EMAIL}},
            submission.JSON: {"schema": ref("Submission"), "example": {"url": _URL, "email": _EMAIL, "md5": _MD5}},
        },
    },
    "responses": {
        "202": response(
            "Accepted",
            "Accepted: the task is stored and queued, so it can't get lost.",
            {"id": _ID},
            Location=_LOCATION,
        )
        | {"content": {"application/json": {"schema": ref("Accepted"), "example": {"id": _ID}}}}
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
        "403": problem(
            problems.CROSS_SITE,
            "A browser sent the request from a page on another site (`Sec-Fetch-Site: cross-site`).",
            "This request came from a page on another site. Submit the URL on this site or with curl.",
        ),
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
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE,
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
    "parameters": [_WHICH, _FORMAT, _DOWNLOAD],
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
                    "version": {"etag": '"5f8-abc"', "last_modified": "2026-10-30T08:15:00Z", "proof": "etag"},
                    "notes": [
                        {
                            "code": "web-page",
                            "message": "The server sent a web page (text/html, 700.0 MiB). Is this the file you meant?",
                        }
                    ],
                    "expected_md5": _MD5,
                    "match": True,
                    "created_at": _CREATED,
                    "finished_at": _FINISHED,
                },
                Content_Disposition=_DISPOSITION,
                Urlsum_Notes=_NOTES,
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
            "The format is unknown.",
            "The only value of format is md5sum. Leave format out to get JSON or a page.",
            "format",
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE,
    },
}

_CANCEL = {
    "parameters": [_WHICH],
    "responses": {
        "200": response("Cancelled", "Cancelled, by this request or an earlier one.", _CANCELLED),
        "404": _NO_TASK,
        "409": problem(
            problems.TASK_FINISHED,
            "The task is done or has failed, so it can't be cancelled. Nothing was changed.",
            "The task has already ended, so it can't be cancelled. GET /check shows its result.",
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE,
    },
}

OPERATIONS = {
    ("/", "get"): _ABOUT,
    ("/submit", "post"): _SUBMIT,
    ("/check", "get"): _CHECK,
    ("/check", "delete"): _CANCEL,
}
