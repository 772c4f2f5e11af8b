"""Reads the metadata of a response: name, final URL, media type, validators, and notes on peculiarities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urlsum.errors import ProtocolViolated
from urlsum.origin.guard.url import parse
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
# Values of Content-Encoding that encode nothing: the framing of S3's own uploads, and charsets or MIME encodings that
# are set there by mistake.
NO_CODING = frozenset(
    ["", "identity", "none", "null", "aws-chunked", "7bit", "8bit", "binary", "utf-8", "utf8", "us-ascii", "iso-8859-1"]
)
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
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*"')


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
    if _codings(head):
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


def _all(head: ResponseHead, name: str) -> list[str]:
    """The elements of a list field, in lower case (RFC 9110, 5.6.1)."""
    raw_name = name.encode("ascii")
    lines = [value.decode("latin-1") for field, value in head.fields if field == raw_name]
    return [element.strip(" \t").lower() for line in lines for element in line.split(",")]


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
    decompressed = "gzip" in _all(head, "x-goog-stored-content-encoding") and not _codings(head)
    return (
        decompressed
        or any(_all(head, "x-guploader-response-body-transformations"))
        or any(_all(head, "cf-polished"))  # Cloudflare recompresses images
        # RFC 7234, 5.5.6. RFC 9111 dropped the field, but proxies still send it.
        or any(warning.startswith("214 ") for warning in _all(head, "warning"))
        or head.status == TRANSFORMED_STATUS
    )


def _codings(head: ResponseHead) -> list[str]:
    """The content codings of the body, although the request accepts only ``identity``."""
    return [coding for coding in _all(head, "content-encoding") if coding not in NO_CODING]
