"""What /openapi.json says about the routes, beyond what FastAPI could know.

The routes read their input themselves (``urlsum.web.submission`` says why: strictness) and answer with finished
responses, so their descriptions are written here, by hand, and tests hold both together.
"""

from __future__ import annotations

from urlsum import __version__
from urlsum.web import plain, problems, submission
from urlsum.web.openapi.response_objects import ALWAYS, SECONDS, header, or_plain, problem, ref, response

DESCRIPTION = """
The MD5 of a file on the internet, of any size, without downloading it yourself.

1. `POST /submit` with the URL answers the id of a task.
2. A worker reads the file and hashes its bytes exactly as they are sent.
3. `GET /check?id=…` tells how far it is and, at the end, the digest. With an e-mail address the result is mailed too.
   `DELETE /check?id=…` cancels it.

Every error is a problem of RFC 9457 (`application/problem+json`): compare its `type`, read its `detail`; `field` names
what to change. The exceptions are `424` and `410`, the ordinary answers of `/check` for a task that failed or was
cancelled.

Who prefers `text/html` to JSON in `Accept`, as browsers do, gets the same answers as pages. `GET /check` with
`format=md5sum` gives plain text instead, whatever `Accept` says: the line that `md5sum -c` reads.
"""

_ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"
_URL = "http://site.com/file.txt"
_EMAIL = "example@abc.ru"
_MD5 = "f4af8a0e1d1e8d3b5f4a9f6f2f3cbd9e"
_CREATED, _FINISHED = "2026-11-05T10:00:00Z", "2026-11-05T10:00:07Z"

_INTERNAL_ERROR = problem(
    problems.INTERNAL_ERROR, "A fault of urlsum itself.", "Something unforeseen went wrong; try again later"
)
_UNAVAILABLE = problem(
    problems.UNAVAILABLE,
    "Storage does not answer; nothing was accepted or changed.",
    "urlsum cannot reach its own storage just now; send the same request again in 5 seconds",
    Retry_After=header("Seconds to wait before the next try.", SECONDS),
)

_LOCATION = header("Where to ask for the task.", {"type": "string", "format": "uri-reference"})

_ABOUT = {
    "responses": {
        "200": response(
            "About",
            "What urlsum is; for a browser, with a form to submit a URL.",
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
            "description": "A name for this request, for example a UUID. Sent again with the same fields it answers the"
            " same id and hashes nothing twice; with other fields it is refused.",
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
            "Accepted: the task is stored and queued, and will not be lost.",
            {"id": _ID},
            Location=_LOCATION,
        )
        | {"content": {"application/json": {"schema": ref("Accepted"), "example": {"id": _ID}}}}
        | {
            "links": {
                "check": {
                    "operationId": "check",
                    "parameters": {"id": "$response.body#/id"},
                    "description": "Tells how far the task is.",
                }
            }
        },
        "303": {
            "description": "The same for who prefers a page: that of the task.",
            "headers": {"Location": _LOCATION} | ALWAYS,
        },
        "403": problem(
            problems.CROSS_SITE,
            "Sent by a browser from a page of another site (`Sec-Fetch-Site: cross-site`).",
            "This came from a page of another site; submit the URL here, or by curl",
        ),
        "413": problem(
            problems.BODY_TOO_LARGE,
            f"The body has more than {submission.BODY_LIMIT} bytes.",
            f"The body may have {submission.BODY_LIMIT} bytes; shorten the URL to fit into it",
        ),
        "415": problem(
            problems.UNSUPPORTED_MEDIA_TYPE,
            "The body is neither a form nor JSON, is compressed, or is not in UTF-8.",
            f"Send the fields in UTF-8 as {submission.URLENCODED}, as {submission.JSON}, or as {submission.MULTIPART}",
        ),
        "422": problem(
            problems.INVALID_REQUEST,
            "A field is missing, unknown, sent twice or wrong, or urlsum does not contact this address. Nothing was"
            " stored.",
            "url is missing; send the URL of the file, for example url=https://example.org/file.bin",
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
    "description": "The id that POST /submit answered. Other parameters are ignored.",
    "schema": {"type": "string", "format": "uuid"},
    "example": _ID,
}
_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "`md5sum` asks for plain text: once the task is done the line that `md5sum -c` reads, until then and"
    " after a failure one that it does not. The file's name in it is `name` of the JSON answer.",
    "schema": {"type": "string", "enum": [plain.FORMAT]},
}
_DOWNLOAD = {
    "name": "download",
    "in": "query",
    "description": "With `format=md5sum`, `yes` has a browser save the line as a file. Anything else means nothing.",
    "schema": {"type": "string"},
    "example": "yes",
}
_DISPOSITION = {
    "description": "With `download=yes`: a name for the file that ends in .md5 (RFC 6266).",
    "schema": {"type": "string"},
}
_NOTES = {
    "description": "With `format=md5sum`: the codes of `notes` in the JSON answer, if there are any, as a list.",
    "schema": {"type": "string"},
}
_NO_TASK = problem(
    problems.TASK_NOT_FOUND,
    "No such task: unknown, expired or malformed, all in the same words.",
    "There is no task with this id: it was mistyped, or it has expired; submit again",
)
_END = {"url": _URL, "created_at": _CREATED, "finished_at": _FINISHED}
_CANCELLED = {"id": _ID, "status": "cancelled", "complete": True, **_END}

_CHECK = {
    "parameters": [_WHICH, _FORMAT, _DOWNLOAD],
    "responses": {
        "200": or_plain(
            response(
                "Done",
                "Done: the digest of one whole version of the file.",
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
                "Queued or running: ask again after Retry-After.",
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
                Retry_After=header("Seconds after which it is worth to ask again.", SECONDS),
            )
        ),
        "404": _NO_TASK,
        "410": or_plain(response("Cancelled", "Cancelled by DELETE /check: there will be no digest.", _CANCELLED)),
        "424": or_plain(
            response(
                "Failed",
                "Failed: there will be no digest, and `error` says why.",
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
            "A format that there is not.",
            "the only format to ask for is md5sum; leave it out for JSON or a page",
            "format",
        ),
        "500": _INTERNAL_ERROR,
        "503": _UNAVAILABLE,
    },
}

_CANCEL = {
    "parameters": [_WHICH],
    "responses": {
        "200": response("Cancelled", "Cancelled, by this request or by one before.", _CANCELLED),
        "404": _NO_TASK,
        "409": problem(
            problems.TASK_FINISHED,
            "The task has a result or has failed, so there is nothing to cancel. Nothing was changed.",
            "The task has ended, so it cannot be cancelled; GET /check tells how",
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
