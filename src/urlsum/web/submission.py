"""POST /submit: the request → a Submission, or an error that says what to change."""

from __future__ import annotations

import re
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 - FastAPI resolves the annotation when the app is built

from urlsum import wiring
from urlsum.errors import InvalidRequest
from urlsum.service import Submission
from urlsum.text.expected_md5 import BLANKS
from urlsum.web import forms
from urlsum.web.client import client_of, with_key
from urlsum.wiring import Services  # noqa: TC001 - as above

if TYPE_CHECKING:
    from starlette.datastructures import Headers

# Several times the longest URLs in use: signed ones have some 2,000 characters.
BODY_LIMIT = 8 * 1024
# As in Stripe's API: enough for a UUID, or for a digest with a prefix.
IDEMPOTENCY_KEY_LIMIT = 255

FIELDS = ("url", "email", "md5", "fresh", "key")
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"

# No field needs C0 or DEL, and they could split a line of an email, a log or a request.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# No host, path or query has a raw blank before another URL; an archive's URL has the other one inside its path.
_URL_BEGINS = re.compile(r"(?:\A|\s)https?://", re.IGNORECASE)
_PRINTABLE_ASCII = re.compile(r"[ -~]+")


async def read_submission(request: Request, services: Annotated[Services, Depends(wiring.provided)]) -> Submission:
    """The fields of the request; ``service.submit`` validates their values. A FastAPI dependency.

    A client that is known to be over a limit gets no further: its URL is not looked at, and it takes no thread. Raises
    InvalidRequest, KeyRefused, LimitReached, and HTTPException with 413 or 415.
    """
    settings = services.settings
    # For the log, and for the form on the page of an error.
    client = request.state.client = client_of(request, settings)
    request.state.needs_key = settings.require_api_key
    # The page of an error shows the form again with these values.
    fields: dict[str, str] = {}
    request.state.typed = fields
    # An error is better than a field that is ignored: the md5 of `POST /submit?md5=…` would never be compared.
    for name in request.query_params:
        raise InvalidRequest(name, "Send the fields in the request body, not in the query string.")
    key = _idempotency_key(request.headers)
    pairs = _parse(await _read(request), request.headers)
    for name, sent in pairs:
        # Copied from a page or a terminal, a value often comes with the blanks around it.
        value = sent if name == "md5" else sent.strip(BLANKS)
        _check_field(name, value, fields)
        fields[name] = value
    # The page of an error does not show the key again.
    client = request.state.client = with_key(client, request, settings, field=fields.pop("key", None))
    services.limiter.recall(client.subject, services.clock())
    if not fields.get("url"):
        raise InvalidRequest(
            "url",
            "The URL is missing. Send the link to the file, such as https://example.org/file.bin, in the field url.",
        )
    return Submission(
        url=fields["url"],
        email=fields.get("email"),
        md5=md5 if (md5 := fields.get("md5", "")).strip(BLANKS) else None,
        fresh=_fresh(fields.get("fresh", "")),
        idempotency_key=key,
        client=client.subject,
        network=client.network,
    )


def _fresh(value: str) -> bool:
    if value not in ("", "true", "false"):
        raise InvalidRequest("fresh", "The field fresh is true or false: whether to read the file in any case.")
    return value == "true"


async def _read(request: Request) -> bytes:
    declared = request.headers.get("Content-Length", "")
    # A declared length is refused before a byte is read. A chunked body, or one that is longer, is counted below.
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
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is larger than {BODY_LIMIT} bytes; shorten the URL."
    )


def _parse(body: bytes, headers: Headers) -> forms.Pairs:
    if _combined(headers, "Content-Encoding") not in (None, "identity"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the body uncompressed, without Content-Encoding.",
            {"Accept-Encoding": "identity"},  # RFC 9110, 15.5.16: not the media type is wrong
        )
    content_type = _combined(headers, "Content-Type")
    if not content_type:
        # RFC 9110, 8.3: without a Content-Type the recipient may examine the body.
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
        f"Send the fields in UTF-8 as {URLENCODED} (curl -d), {JSON} or {MULTIPART} (curl -F).",
        {"Accept-Post": f"{URLENCODED}, {MULTIPART}, {JSON}"},
    )


def _check_field(name: str, value: str, seen: dict[str, str]) -> None:
    if name not in FIELDS:
        raise InvalidRequest(
            name or forms.BODY,
            f"Unknown field. Allowed fields: {', '.join(FIELDS)}. If it is part of the URL, write the '&' before it as"
            " %26 (curl --data-urlencode does so), or send JSON.",
        )
    if name in seen:
        raise InvalidRequest(
            name, f"The field {name} was sent more than once. Send each field once, and one URL per request."
        )
    if name == "url" and len(_URL_BEGINS.findall(value)) > 1:
        raise InvalidRequest(
            name,
            "This is more than one URL. Send one per request, or use the command urlsum, which takes several URLs, and"
            " lists with -c.",
        )
    # An MD5 may come as a line of md5sum, or as several of gsutil; only its digits are kept.
    if name != "md5" and _CONTROL.search(value):
        raise InvalidRequest(name, f"The field {name} contains a control character, such as a line break. Remove it.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidRequest(
            name, f"The field {name} contains half of a surrogate pair, which is not a character. Send both halves."
        )


def _combined(headers: Headers, name: str) -> str | None:
    """The header as one value (RFC 9110, 5.3), as API Gateway delivers a repeated one; uvicorn must do alike."""
    values = headers.getlist(name)
    return ",".join(values) if values else None


def _idempotency_key(headers: Headers) -> str | None:
    key = _combined(headers, "Idempotency-Key")
    if key is not None and (len(key) > IDEMPOTENCY_KEY_LIMIT or not _PRINTABLE_ASCII.fullmatch(key)):
        raise InvalidRequest(
            "Idempotency-Key",
            f"The key must have 1 to {IDEMPOTENCY_KEY_LIMIT} printable ASCII characters, for example a UUID.",
        )
    return key
