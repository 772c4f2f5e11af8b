"""POST /submit: the request → a Submission, or an error that says what to change."""

from __future__ import annotations

import re
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 - FastAPI resolves the annotation when the app is built

from urlsum.errors import InvalidRequest
from urlsum.service import Submission
from urlsum.web import forms

if TYPE_CHECKING:
    from starlette.datastructures import Headers

# Holds the longest URLs in use, signed ones of some 2,000 characters, several times over.
BODY_LIMIT = 8 * 1024
# As Stripe's and other APIs' keys: room for a UUID or a digest with a prefix.
IDEMPOTENCY_KEY_LIMIT = 255

FIELDS = ("url", "email", "md5")
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"

# C0 and DEL have no business in any field, and could split a line of a mail, a log or a request.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRINTABLE_ASCII = re.compile(r"[ -~]+")


async def read_submission(request: Request) -> Submission:
    """What the request asks for, its fields unjudged. A FastAPI dependency.

    Raises InvalidRequest, and HTTPException with 403, 413 or 415.
    """
    # A form on another site could make a visitor's browser reach a urlsum that only the visitor can reach, and mail
    # what it finds to a stranger. Only browsers send this header, and no page can change it.
    # https://www.w3.org/TR/fetch-metadata/
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise HTTPException(
            HTTPStatus.FORBIDDEN, "This came from a page of another site; submit the URL here, or by curl"
        )
    # For the form that is shown again when something is wrong.
    fields: dict[str, str] = {}
    request.state.typed = fields
    # A field that is silently ignored is worse than an error: the md5 of `POST /submit?md5=…` would never be compared.
    for name in request.query_params:
        raise InvalidRequest(name, "POST /submit takes its fields in the body, not in the query string")
    key = _idempotency_key(request.headers)
    pairs = _parse(await _read(request), request.headers)
    for name, value in pairs:
        _check_field(name, value, fields)
        fields[name] = value
    if not fields.get("url"):
        raise InvalidRequest(
            "url", "url is missing; send the URL of the file, for example url=https://example.org/file.bin"
        )
    return Submission(**fields, idempotency_key=key)


async def _read(request: Request) -> bytes:
    declared = request.headers.get("Content-Length", "")
    # Refused by its own word, before a byte is read; what is chunked, or lies, is counted below.
    if declared.isdecimal() and int(declared[:20]) > BODY_LIMIT:
        raise _too_large()
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > BODY_LIMIT:
                raise _too_large()
    return bytes(body)


def _too_large() -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {BODY_LIMIT} bytes; shorten the URL to fit into it"
    )


def _parse(body: bytes, headers: Headers) -> forms.Pairs:
    if _combined(headers, "Content-Encoding") not in (None, "identity"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the body as it is, without Content-Encoding",
            {"Accept-Encoding": "identity"},  # RFC 9110, 15.5.16: tells this trouble from a wrong type
        )
    content_type = _combined(headers, "Content-Type")
    if not content_type:
        # RFC 9110, 8.3: without a Content-Type the recipient may look for itself.
        return forms.json_object(body) if body.lstrip()[:1] in (b"{", b"[") else forms.urlencoded(body)
    media_type, parameters = parse_options_header(content_type)
    if forms.is_utf8(parameters.get(b"charset")):
        boundary = parameters.get(b"boundary")
        match media_type.decode("latin-1"), boundary:
            case "application/x-www-form-urlencoded", _:
                return forms.urlencoded(body)
            case "application/json", _:
                return forms.json_object(body)
            case "multipart/form-data", bytes() if boundary:
                return forms.multipart(body, boundary)
    raise HTTPException(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"Send the fields in UTF-8 as {URLENCODED} (as curl -d does), as {JSON}, or as {MULTIPART} (as curl -F does)",
        {"Accept-Post": f"{URLENCODED}, {MULTIPART}, {JSON}"},
    )


def _check_field(name: str, value: str, seen: dict[str, str]) -> None:
    if name not in FIELDS:
        raise InvalidRequest(
            name or forms.BODY,
            f"this is no field of the request; there are {', '.join(FIELDS)}. If it is part of the URL, encode the '&'"
            " before it as %26 (curl --data-urlencode does), or send JSON",
        )
    if name in seen:
        raise InvalidRequest(name, f"{name} is there more than once; send each field once, and one URL per request")
    if _CONTROL.search(value):
        raise InvalidRequest(name, f"{name} contains a control character, such as a line break; remove it")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidRequest(name, f"{name} contains half of a surrogate pair, which is no character; write it in full")


def _combined(headers: Headers, name: str) -> str | None:
    """The header as one value (RFC 9110, 5.3): API Gateway delivers repeated ones that way, so all servers shall."""
    values = headers.getlist(name)
    return ",".join(values) if values else None


def _idempotency_key(headers: Headers) -> str | None:
    key = _combined(headers, "Idempotency-Key")
    if key is not None and (len(key) > IDEMPOTENCY_KEY_LIMIT or not _PRINTABLE_ASCII.fullmatch(key)):
        raise InvalidRequest(
            "Idempotency-Key", f"must be 1 to {IDEMPOTENCY_KEY_LIMIT} printable ASCII characters, for example a UUID"
        )
    return key
