"""The cookies of one file's redirects: some servers set one, redirect to the same URL, and require it there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from urlsum.origin.http11.set_cookie import canonical

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.response import ResponseHead


# RFC 9110, 5.5: the bytes that a field may hold. A cookie with other bytes is ignored; the others are kept.
_SENDABLE = re.compile(rb"[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*")
# Bytes of other charsets survive as surrogates: the jar would strip 0xA0 from the end of "voil\u00e0" as a blank.
_AS_BYTES = ("ascii", "surrogateescape")


class Cookies:
    """Cookies by the rules of RFC 6265 for host, domain, path and Secure. Safe for many threads.

    They belong to one opening of one file: no other task sees them, and nothing stores them.
    """

    def __init__(self) -> None:
        self._jar: CookieJar | None = None

    def extract(self, head: ResponseHead) -> None:
        """Store the cookies that the response sets."""
        texts = [
            value.decode(*_AS_BYTES)
            for name, value in head.fields
            if name == b"set-cookie" and _SENDABLE.fullmatch(value.partition(b";")[0].strip())
        ]
        if not texts:
            return
        set_cookies = [value for text in texts if (value := canonical(text, head.target.host)) is not None]
        if self._jar is None:
            self._jar = _jar()
        self._jar.extract_cookies(_Response(set_cookies), _Request(head.target))  # type: ignore[arg-type] # no more is read

    def fields(self, target: Target) -> tuple[tuple[str, bytes], ...]:
        """The Cookie field of a request for ``target``; empty without a cookie for it."""
        if self._jar is None:
            return ()
        request = _Request(target)
        self._jar.add_cookie_header(request)  # type: ignore[arg-type] # the same
        value = request.fields.get("Cookie", "").encode(*_AS_BYTES)
        return (("Cookie", value),) if value else ()

    def __bool__(self) -> bool:
        """Whether any response has set one."""
        return self._jar is not None


class _Response:
    """A response as far as the jar reads it."""

    def __init__(self, set_cookies: list[str]) -> None:
        self._set_cookies = set_cookies

    def info(self) -> _Response:
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return self._set_cookies if name == "Set-Cookie" else default


class _Request:
    """A request as far as the jar reads it: the interface is that of ``urllib.request.Request``.

    https://docs.python.org/3/library/http.cookiejar.html#http.cookiejar.CookieJar.add_cookie_header
    """

    unverifiable = False

    def __init__(self, target: Target) -> None:
        self.fields: dict[str, str] = {}
        self.type = target.scheme
        self.host = self.origin_req_host = target.host
        self._url = replace(target, rooted=False).url  # one host with and without the root's dot

    def get_full_url(self) -> str:
        return self._url

    def has_header(self, name: str) -> bool:
        return name in self.fields

    def get_header(self, name: str, default: str | None = None) -> str | None:
        return self.fields.get(name, default)

    def add_unredirected_header(self, name: str, value: str) -> None:
        self.fields[name] = value


def _jar() -> CookieJar:
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 - 20 ms that few files need

    # A cookie without Domain is for its host alone (RFC 6265, 5.3), and none is for a country's "co.uk".
    policy = DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain, strict_domain=True)
    return CookieJar(policy)
