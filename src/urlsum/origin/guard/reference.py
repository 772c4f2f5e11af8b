"""Resolves a relative reference against a base URL (RFC 3986, 5.2 and 5.3).

``urllib.parse.urljoin`` drops empty segments and empty queries, and so names another file.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from urlsum.errors import InvalidUrl

# PEP 383: a byte that is not UTF-8.
_ESCAPE = re.compile(r"[\udc80-\udcff]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Every character that may stand unencoded in a path or a query (RFC 3986, 3.3 and 3.4), and the % of an encoded one.
_PRINTABLE = "!$%&'()*+,-./:;=?@_~[]"
# The longest spelling of a dot segment.
_LONGEST_DOTS = len("%2e%2e")


class _Parts(NamedTuple):
    """The five components of RFC 3986, appendix B. None means undefined, which differs from empty."""

    scheme: str | None
    authority: str | None
    path: str
    query: str | None
    fragment: str | None


def resolve(base: str, reference: str) -> str:
    r"""``reference`` resolved against ``base``, an absolute URL with an authority (RFC 3986, 5.2.2, strict).

    Spaces and characters outside ASCII are percent-encoded in path, query and fragment, not in the authority. A byte
    that is not UTF-8 is a surrogate escape (PEP 383) in ``reference`` and keeps its value: ``\udce9`` becomes
    ``%E9``. Raises InvalidUrl.
    """
    base_parts = _split(base)
    scheme, authority, path, query, fragment = _split(reference)
    if scheme is None:
        scheme = base_parts.scheme
        if authority is None:
            authority = base_parts.authority
            if not path:
                path = base_parts.path
                query = base_parts.query if query is None else query
            elif not path.startswith("/"):
                path = base_parts.path.rpartition("/")[0] + "/" + path
    if authority is not None and _ESCAPE.search(authority):
        raise InvalidUrl("the host name is not UTF-8")
    return "".join(
        (
            f"{scheme}:",
            "" if authority is None else f"//{authority}",
            remove_dot_segments(quoted(path, errors="surrogateescape")),
            "" if query is None else f"?{quoted(query, errors='surrogateescape')}",
            "" if fragment is None else f"#{quoted(fragment, errors='surrogateescape')}",
        )
    )


def remove_dot_segments(path: str) -> str:
    """``path`` without its ``.`` and ``..`` segments (RFC 3986, 5.2.4); empty segments stay.

    An encoded dot is a dot: RFC 3986, 6.2.2.2 decodes it first, and the URL standard ("double-dot URL path segment"),
    browsers and curl (since curl/curl#16870) agree. A path without a leading slash has no hierarchy and stays.
    """
    if not path.startswith("/"):
        return path
    kept: list[str] = []
    dots = ""
    for segment in path[1:].split("/"):
        dots = _dots(segment)
        if not dots:
            kept.append(segment)
        elif dots == ".." and kept:
            kept.pop()
    if dots:  # "/a/." and "/a/b/.." name the folder "/a/"
        kept.append("")
    return "/" + "/".join(kept)


def quoted(text: str, *, errors: str = "strict") -> str:
    """``text`` with every character that a URL cannot hold percent-encoded as UTF-8 (RFC 3987, 3.1).

    ``errors`` is that of ``str.encode``. Raises InvalidUrl for a lone surrogate that it does not encode.
    """
    try:
        return quote(text, safe=_PRINTABLE, errors=errors)
    except UnicodeEncodeError:
        raise InvalidUrl("the URL contains half a character (a lone surrogate)") from None


def _split(text: str) -> _Parts:
    text, mark, fragment = text.partition("#")
    text, question, query = text.partition("?")
    match = _SCHEME.match(text)
    rest = text[match.end() :] if match else text
    authority = None
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
    return _Parts(
        match[0][:-1] if match else None, authority, rest, query if question else None, fragment if mark else None
    )


def _dots(segment: str) -> str:
    """``.`` or ``..`` if ``segment`` spells it, else an empty string."""
    if len(segment) > _LONGEST_DOTS:
        return ""
    decoded = segment.lower().replace("%2e", ".")
    return decoded if decoded in (".", "..") else ""
