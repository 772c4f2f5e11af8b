"""What a response says about the file: its name, where it was found, its type, its validators, and what is odd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urlsum.errors import ProtocolViolated
from urlsum.md5sum import name_of
from urlsum.origin.fields import http_date
from urlsum.origin.filename import filename, has_extension, of_disposition
from urlsum.origin.target import parse
from urlsum.public import one_line
from urlsum.remarks import CONTENT_ENCODING, TRANSFORMED, WEB_PAGE
from urlsum.task import Proof, Representation

if TYPE_CHECKING:
    from urlsum.origin.head import Head

# The longest registered type has 73 characters (an OOXML template); RFC 6838, 4.2 advises at most 64 for each half.
MAX_TYPE_CHARACTERS = 100
# Those of the usual servers have below 50. A longer one is shown cut: nothing is compared with it.
MAX_ETAG_CHARACTERS = 200
YEAR_10000 = 253_402_300_800  # in seconds since the epoch
HTML = frozenset({"text/html", "application/xhtml+xml"})
# A program's URL (.php, .cgi) is not among them: programs send every kind of file.
PAGES = frozenset({"htm", "html", "shtml", "xht", "xhtml"})
# Values that stand in Content-Encoding and encode nothing: the framing of S3's own uploads, and what people write there
# who mean a charset or an encoding of MIME.
NO_CODING = frozenset(
    ["", "identity", "none", "null", "aws-chunked", "7bit", "8bit", "binary", "utf-8", "utf8", "us-ascii", "iso-8859-1"]
)
# The fields in which servers say that they changed the bytes.
TRANSFORMERS = frozenset(
    {b"x-goog-stored-content-encoding", b"x-guploader-response-body-transformations", b"cf-polished", b"warning"}
)
TRANSFORMED_STATUS = 203

# A type and a subtype (RFC 9110, 8.3.1), before parameters or a second value.
_TYPE = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:[;,].*)?", re.DOTALL)
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*"')


def representation(head: Head, submitted_url: str, proof: Proof) -> Representation:
    """The facts of the response ``head`` to a request that began at ``submitted_url``.

    A field that has two different values, or none that makes sense, counts as missing: nothing here decides whether
    the bytes are right. ``proof`` is what the version of the file rests on.
    """
    final_url = head.target.url
    submitted = submitted_url.partition("#")[0]
    redirected = submitted != final_url and parse(submitted).url != final_url
    disposition, content_type = _one(head, "content-disposition"), _type(_one(head, "content-type"))
    notes = []
    if content_type in HTML and not _means_page(disposition, submitted, final_url):
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
        last_modified=_modified(_one(head, "last-modified")),
        proof=proof,
        notes=tuple(notes),
    )


def _one(head: Head, name: str) -> str | None:
    try:
        return head.get(name)
    except ProtocolViolated:
        return None


def _all(head: Head, name: str) -> list[str]:
    """The elements of a list field, in lower case (RFC 9110, 5.6.1)."""
    wanted = name.encode("ascii")
    lines = [value.decode("latin-1") for field, value in head.fields if field == wanted]
    return [element.strip(" \t").lower() for line in lines for element in line.split(",")]


def _type(value: str | None) -> str | None:
    found = _TYPE.fullmatch(value or "")
    return found[1].lower() if found and len(found[1]) <= MAX_TYPE_CHARACTERS else None


def _etag(value: str | None) -> str | None:
    # What breaks this grammar is no tag to urlsum.origin.version either.
    return one_line(value, MAX_ETAG_CHARACTERS) if value and _ETAG.fullmatch(value) else None


def _modified(value: str | None) -> float | None:
    # An offset moves a date beyond the years that datetime has, and no file is older than its epoch.
    seconds = http_date(value)
    return seconds if seconds is not None and 0 <= seconds < YEAR_10000 else None


def _means_page(disposition: str | None, submitted_url: str, final_url: str) -> bool:
    """Whether the URL, or the name that the server gives the file, is that of a page.

    A redirect from one page to another does not lead to the page that was meant; one to the same name with or without
    its extension, as tidy URLs have it, does.
    """
    if disposition and (name := of_disposition(disposition)):
        return has_extension(name, PAGES)
    meant = name_of(submitted_url)
    return has_extension(meant, PAGES) and _page(submitted_url) == _page(final_url)


def _page(url: str) -> str:
    if urlsplit(url).path.endswith("/"):
        return "index"  # what servers send for a folder
    name = name_of(url)
    return name.rpartition(".")[0] if has_extension(name, PAGES) else name


def _transformed(head: Head) -> bool:
    """Whether the bytes are, by the response's own words, not those that are stored.

    Google Cloud Storage unpacks what is stored as gzip and says so in two ways.
    https://cloud.google.com/storage/docs/transcoding
    """
    if TRANSFORMERS.isdisjoint(field for field, _ in head.fields):
        return head.status == TRANSFORMED_STATUS  # RFC 9110, 15.3.4
    unpacked = "gzip" in _all(head, "x-goog-stored-content-encoding") and not _codings(head)
    return (
        unpacked
        or any(_all(head, "x-guploader-response-body-transformations"))
        or any(_all(head, "cf-polished"))  # Cloudflare recompresses images
        # RFC 7234, 5.5.6; RFC 9111 dropped the field, and proxies still send it.
        or any(warning.startswith("214 ") for warning in _all(head, "warning"))
        or head.status == TRANSFORMED_STATUS
    )


def _codings(head: Head) -> list[str]:
    """The content codings of the body, which the request asked to leave away."""
    return [coding for coding in _all(head, "content-encoding") if coding not in NO_CODING]
