"""Detects a web page where the URLs promise another file: a login page, an error page, a landing page."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from urlsum.origin.representation.filename import of_disposition
from urlsum.text.md5sum import decoded, name_of

HTML = frozenset({"text/html", "application/xhtml+xml"})
# Media types that name no format: RFC 9110, 8.3 assumes octet-stream for an unknown one, S3 sends binary/octet-stream
# for an object without a type, and scripts send the others to force a download.
UNKNOWN_TYPES = frozenset(
    {
        "application/binary",
        "application/download",
        "application/force-download",
        "application/octet-stream",
        "application/unknown",
        "application/x-download",
        "application/x-force-download",
        "binary/octet-stream",
        "unknown/unknown",
    }
)
# The bytes that are searched for HTML. MIME Sniffing (https://mimesniff.spec.whatwg.org, 5.2) reads 1445; some pages
# begin with a licence in a comment, and the regular expression takes some microseconds.
SNIFFED_BYTES = 8192
# Only tags of whole pages: a README in Markdown begins with <h1> or <p>, a Vue component with <script>.
_OPENING = re.compile(
    rb"(?>(?:\s+|<!--.*?-->|<\?.*?\?>)*)<(?:!doctype\s+html|(?:html|head|title|body|meta|frameset)(?=[\s/>]))",
    re.IGNORECASE | re.DOTALL,
)
# Byte-order marks of UTF-8 and UTF-16. Without NUL bytes, a tag in UTF-16 or UTF-32 is ASCII.
_MARKS = b"\xef\xbb\xbf\xfe\xff"

# Extensions of web pages. Those of programs (.php, .cgi) are not among them: programs send every kind of file.
_EXTENSION = r"(?:html?[45s]?|[djp]html|shtml?|stm|xht(?:ml?)?)"
# Servers with content negotiation append language and charset to the extension: index.html.en,
# index.html.ja.iso2022-jp.
# https://httpd.apache.org/docs/2.4/content-negotiation.html
_CHARSET = (
    r"(?:(?:big|cp|gb|iso|koi|latin|utf|win|windows)[-_]?[0-9][-_0-9a-z]*|euc[-_](?:cn|jp|kr|tw)|gbk"
    r"|s(?:hift)?[-_]?jis)"
)
# The languages of ISO 639-1.
_LANGUAGE = (
    r"(?:aa|ab|ae|af|ak|am|an|ar|as|av|ay|az|ba|be|bg|bh|bi|bm|bn|bo|br|bs|ca|ce|ch|co|cr|cs|cu|cv|cy|da|de|dv|dz|ee|el"
    r"|en|eo|es|et|eu|fa|ff|fi|fj|fo|fr|fy|ga|gd|gl|gn|gu|gv|ha|he|hi|ho|hr|ht|hu|hy|hz|ia|id|ie|ig|ii|ik|io|is|it|iu"
    r"|ja|jv|ka|kg|ki|kj|kk|kl|km|kn|ko|kr|ks|ku|kv|kw|ky|la|lb|lg|li|ln|lo|lt|lu|lv|mg|mh|mi|mk|ml|mn|mr|ms|mt|my|na"
    r"|nb|nd|ne|ng|nl|nn|no|nr|nv|ny|oc|oj|om|or|os|pa|pi|pl|ps|pt|qu|rm|rn|ro|ru|rw|sa|sc|sd|se|sg|si|sk|sl|sm|sn|so"
    r"|sq|sr|ss|st|su|sv|sw|ta|te|tg|th|ti|tk|tl|tn|to|tr|ts|tt|tw|ty|ug|uk|ur|uz|ve|vi|vo|wa|wo|xh|yi|yo|za|zh|zu)"
    r"(?:[-_][0-9a-z]{2,8})*"
)
# Not compiled here: few files need these two, and that took 4 ms of every start on a slow machine.
_PAGE_NAME = rf"(?is)(.*)\.{_EXTENSION}(?:\.(?:{_LANGUAGE}|{_CHARSET}))*"
# The pages that servers send for a folder.
_INDEX = frozenset({"default", "index"})
# Folders that differ between redirects of one page: its language, its version.
_VARIANT = rf"(?i){_LANGUAGE}|current|latest|main|master|stable|v?[0-9][-_.0-9a-z]*"
# Hosts, folders and parameters of pages that come before the requested one; compared without hyphens and underscores.
_GATES = frozenset(
    [
        *("access", "accessdenied", "account", "accounts", "auth", "authenticate", "authorize", "blocked", "captcha"),
        *(
            "cas",
            "challenge",
            "consent",
            "cookies",
            "denied",
            "error",
            "errors",
            "expired",
            "forbidden",
            "idp",
            "login",
        ),
        *("logon", "maintenance", "notfound", "oauth", "oauth2", "saml", "session", "signin", "signon", "sso"),
        *("unavailable", "wayf"),
    ]
)


def is_unannounced_page(
    content_type: str | None, opening: bytes, disposition: str | None, submitted_url: str, final_url: str
) -> bool:
    """Whether the response is a web page that neither its Content-Disposition nor its URLs announce.

    ``opening`` holds the first bytes of the file. They decide if the type names no format.
    """
    if content_type not in HTML:
        unknown = content_type is None or content_type in UNKNOWN_TYPES
        if not unknown or not _OPENING.match(opening[:SNIFFED_BYTES].replace(b"\0", b"").lstrip(_MARKS)):
            return False
    if disposition and (name := of_disposition(disposition)):
        return not is_page_name(name)
    return not (is_page_name(name_of(submitted_url)) and _same_page(submitted_url, final_url))


def is_page_name(name: str) -> bool:
    """Whether a file of this name is a web page.

    >>> is_page_name("report.html"), is_page_name("index.html.pt-br.utf8"), is_page_name("report.html.zip")
    (True, True, False)
    """
    return re.fullmatch(_PAGE_NAME, name) is not None


def _same_page(submitted_url: str, final_url: str) -> bool:
    """Whether a redirect from page to page leads to the requested page.

    Sites redirect to another host, language or version, and drop the extension. Within one site, another folder or a
    new parameter is another page; expired links end at the root of a site.
    """
    before, after = urlsplit(submitted_url), urlsplit(final_url)
    if (before.path, before.query) == (after.path, after.query):
        return not _gates(final_url) - _gates(submitted_url)
    final_place = _place(after.path)
    if after.path in ("", "/") or final_place[-1:] != _place(before.path)[-1:]:
        return False
    if _site(before.hostname) == _site(after.hostname):
        return final_place == _place(before.path) and _parameters(after.query) <= _parameters(before.query)
    return not _gates(final_url) - _gates(submitted_url)


def _place(path: str) -> list[str]:
    """The folders and the page of a path, without the parts in which forms of one page differ."""
    segments = [decoded(segment).casefold() for segment in path.split("/") if segment]
    is_folder = path.endswith("/")
    if segments and not is_folder:
        page = re.fullmatch(_PAGE_NAME, segments[-1])
        segments[-1] = page[1] if page else segments[-1]
    if segments and segments[-1] in _INDEX:
        del segments[-1]
        is_folder = True
    end = len(segments) if is_folder else -1
    return [segment for segment in segments[:end] if not re.fullmatch(_VARIANT, segment)] + segments[end:]


def _site(host: str | None) -> str:
    return (host or "").removeprefix("www.")


def _parameters(query: str) -> set[str]:
    return {name.casefold() for name, _ in parse_qsl(query, keep_blank_values=True)}


def _gates(url: str) -> frozenset[str]:
    parts = urlsplit(url)
    words = {*(parts.hostname or "").split("."), *parts.path.split("/")[:-1], *_parameters(parts.query)}
    return _GATES & {word.casefold().replace("-", "").replace("_", "") for word in words}
