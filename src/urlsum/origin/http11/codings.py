"""Content codings: what a response says that its body was encoded by, although the request accepts none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.origin.http11.response import ResponseHead

# Values of Content-Encoding that encode nothing: the framing of S3's own uploads, and charsets or MIME encodings that
# are set there by mistake.
NO_CODING = frozenset(
    ["", "identity", "none", "null", "aws-chunked", "7bit", "8bit", "binary", "utf-8", "utf8", "us-ascii", "iso-8859-1"]
)


def elements(head: ResponseHead, name: str) -> list[str]:
    """The elements of the list field ``name``, in lower case (RFC 9110, 5.6.1)."""
    lines = [value.decode("latin-1") for value in head.all_bytes(name)]
    return [element.strip(" \t").lower() for line in lines for element in line.split(",")]


def content_codings(head: ResponseHead) -> list[str]:
    """The content codings of the body (RFC 9110, 8.4), in order."""
    return [coding for coding in elements(head, "content-encoding") if coding not in NO_CODING]
