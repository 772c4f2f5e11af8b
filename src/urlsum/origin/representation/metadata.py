"""Reads the metadata of a response: name, final URL, media type, validators, and notes on peculiarities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated
from urlsum.origin.guard.url import parse
from urlsum.origin.http11.codings import content_codings, elements
from urlsum.origin.http11.response import decoded, http_date
from urlsum.origin.representation.filename import filename
from urlsum.origin.representation.web_page import is_unannounced_page
from urlsum.task import Proof, Representation
from urlsum.text.redact import one_line
from urlsum.text.remarks import CONTENT_ENCODING, TRANSFORMED, WEB_PAGE

if TYPE_CHECKING:
    from urlsum.origin.http11.response import ResponseHead

# The longest registered media type has 73 characters (an OOXML template); RFC 6838, 4.2 advises at most 64 per half.
MAX_TYPE_CHARACTERS = 100
# ETags of the usual servers have below 50 characters. A longer one is only shown, cut, and never compared.
MAX_ETAG_CHARACTERS = 200
# The fields in which servers declare that they changed the bytes.
TRANSFORMERS = frozenset(
    {b"x-goog-stored-content-encoding", b"x-guploader-response-body-transformations", b"cf-polished", b"warning"}
)
TRANSFORMED_STATUS = 203

# A type and a subtype (RFC 9110, 8.3.1); parameters follow, well-formed or not. Some servers quote the type, or repeat
# the name of the field before it.
_TYPE = re.compile(
    r"[ \t\"']*+(?:content-type:[ \t]*)?([!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+)", re.IGNORECASE
)
# An element of a list whose quoted strings may contain commas (RFC 9110, 5.6.1 and 5.6.4).
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
# Not the ranges of RFC 9110, 8.8.3, but all others: to compile those takes 2 ms longer.
_ETAG = re.compile(r'(?:W/)?"[^\x00-\x20"\x7f]*"')


def representation(head: ResponseHead, submitted_url: str, proof: Proof, opening: bytes = b"") -> Representation:
    """The metadata of the response ``head`` to a request for ``submitted_url``.

    ``opening`` holds the first bytes of the file, which reveal HTML without a type. ``proof`` is the validator that
    proves the version of the file.

    A field with two different values, or without a valid one, counts as missing: nothing here decides whether the
    bytes are right.
    """
    final_url = head.target.url
    submitted = submitted_url.partition("#")[0]
    redirected = submitted != final_url and parse(submitted).url != final_url
    disposition, content_type = _one(head, "content-disposition"), _type(head)
    notes = []
    if is_unannounced_page(content_type, opening, disposition, submitted, final_url):
        notes.append(WEB_PAGE)
    if _transformed(head):
        notes.append(TRANSFORMED)
    if content_codings(head):
        notes.append(CONTENT_ENCODING)
    return Representation(
        name=filename(disposition, final_url, submitted),
        final_url=final_url if redirected else submitted,
        content_type=content_type,
        etag=_etag(_one(head, "etag")),
        last_modified=http_date(_one(head, "last-modified")),
        proof=proof,
        notes=tuple(notes),
    )


def _one(head: ResponseHead, name: str) -> str | None:
    try:
        return head.get(name)
    except ProtocolViolated:
        return None


def _type(head: ResponseHead) -> str | None:
    """The media type without its parameters; None without one, or with two different ones.

    Among several values, malformed ones and ranges of types do not count
    (https://fetch.spec.whatwg.org, "extract a MIME type").
    """
    lines = [decoded(value) for field, value in head.fields if field == b"content-type"]
    matches = [_TYPE.match(element) for line in lines for element in _ELEMENT.findall(line)]
    types = {match[1].strip("'").lower() for match in matches if match} - {"*/*"}
    only = types.pop() if len(types) == 1 else None
    return only if only and len(only) <= MAX_TYPE_CHARACTERS else None


def _etag(value: str | None) -> str | None:
    # urlsum.origin.version.version ignores a value that breaks this grammar, too.
    return one_line(value, MAX_ETAG_CHARACTERS) if value and _ETAG.fullmatch(value) else None


def _transformed(head: ResponseHead) -> bool:
    """Whether the response declares that its bytes differ from the stored ones.

    Google Cloud Storage decompresses objects that are stored as gzip, and declares it in two ways.
    https://cloud.google.com/storage/docs/transcoding
    """
    if TRANSFORMERS.isdisjoint(field for field, _ in head.fields):
        return head.status == TRANSFORMED_STATUS  # RFC 9110, 15.3.4
    decompressed = "gzip" in elements(head, "x-goog-stored-content-encoding") and not content_codings(head)
    return (
        decompressed
        or any(elements(head, "x-guploader-response-body-transformations"))
        or any(elements(head, "cf-polished"))  # Cloudflare recompresses images
        # RFC 7234, 5.5.6. RFC 9111 dropped the field, but proxies still send it.
        or any(warning.startswith("214 ") for warning in elements(head, "warning"))
        or head.status == TRANSFORMED_STATUS
    )
