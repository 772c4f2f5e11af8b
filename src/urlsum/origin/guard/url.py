"""The grammar of URLs that urlsum accepts: RFC 3986 for http and https, narrower where clients disagree.

The parser is our own because a URL must mean the same to the guard and to the client; ``urllib.parse`` silently drops
tabs, newlines and leading control characters.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import InvalidUrl
from urlsum.origin.guard.reference import quoted, remove_dot_segments, resolve
from urlsum.text.format import shown_url

if TYPE_CHECKING:
    from urlsum.origin.guard.addresses import Address

# The request line that common servers accept (nginx: 8 KB), and longer than any signed URL that we know of.
MAX_URL_CHARACTERS = 8192
REDIRECTED = "after a redirect"
DEFAULT_PORTS = {"http": 80, "https": 443}
HIGHEST_PORT = 65535
# RFC 1035, 2.3.4: 255 octets, minus the first length octet and the root's zero octet.
MAX_HOST_CHARACTERS = 253

# Letters in ASCII only: without the flag a long s (U+017F) would pass for an s.
_ANY_CASE = re.IGNORECASE | re.ASCII
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?", _ANY_CASE
)
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):", _ANY_CASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
# C0, space, DEL, C1, the separators and the invisible characters that change how a URL looks.
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb]")
# Browsers drop or encode these in a Location; curl refuses them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_END_OF_PATH = re.compile(r"[?#]")
# Letters, digits, hyphen (RFC 1123, 2.1), and the underscore: not in a host name by RFC 952, but S3 still serves
# buckets whose names have one, and it does no harm.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A host whose last label is a number is an IPv4 address to every client (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DOTTED_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")


class Target(Struct, frozen=True):
    """A parsed URL: the host and port to connect to, and the path to request.

    ``host`` is lower-case ASCII without brackets and trailing dot; ``address`` is set when it is a literal;
    ``path`` is the origin-form of RFC 9112, 3.2.1: path and query. ``redirected_from`` is the URL whose redirects led
    here, None without any. ``private``: addresses that are not public are open to it, as ``Guard`` decides.
    ``rooted``: the name is sent with the root's dot, as in the redirect that led here.
    """

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None = None
    redirected_from: str | None = None
    private: bool = False
    rooted: bool = False

    @property
    def secure(self) -> bool:
        """Whether the scheme requires TLS."""
        return self.scheme == "https"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454, 4)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as in the Host header; the scheme's own port is left out."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else f"{self.host}{'.' * self.rooted}"
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The normalized URL, without fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def resolve(self, reference: str) -> str:
        """The URL of ``reference``, a Location in the response to this one (RFC 3986, 5.2).

        Raw spaces and characters outside ASCII are encoded in path and query, as browsers do; a byte that is not UTF-8
        is a surrogate escape (PEP 383). Controls are refused, and so are backslashes before the query: browsers and
        curl disagree on them. The result is not judged yet: ``parse`` does that. Raises InvalidUrl.
        """
        check_characters(reference, _CONTROL)
        check_backslash(_END_OF_PATH.split(reference, maxsplit=1)[0])
        return resolve(self.url, reference)

    def __str__(self) -> str:
        """The place of an error, for its text: an origin writes a Location as it likes, so no text quotes one."""
        return (
            shown_url(self.url) if self.redirected_from is None else f"{shown_url(self.redirected_from)}, {REDIRECTED}"
        )


# A reading asks several times, and the command judges its list before: the files of a short list, and
# 16 MB if all have the longest URLs.
@lru_cache(maxsize=1024)
def parse(url: str) -> Target:
    """Parse ``url``. Raises InvalidUrl, with a message for the person who typed it."""
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidUrl(f"the URL has {len(url)} characters; the limit is {MAX_URL_CHARACTERS}")
    _check_unseen(url)
    check_backslash(url)
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _not_http(url)
    scheme = parts["scheme"].lower()
    if "@" in parts["authority"]:
        raise InvalidUrl("the URL contains a user name or password before @", "urlsum reads public files only")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise InvalidUrl(f"{parts['authority']!r} is not a host with an optional :port")
    host, address = _host(authority["host"])
    path = remove_dot_segments(quoted(parts["path"] or "/")) + quoted(parts["query"] or "")
    if len(path) > MAX_URL_CHARACTERS:
        raise InvalidUrl(f"the URL is {len(path)} characters long once encoded; the limit is {MAX_URL_CHARACTERS}")
    return Target(scheme, host, _port(authority["port"], scheme), path, address)


def _check_unseen(url: str) -> None:
    try:
        check_characters(url)
    except InvalidUrl as exc:
        # Neither two URLs nor a URL with a remark are a name with a space.
        is_name = " " in url and " #" not in url and url.count("://") == 1
        meant = _parsable(url.replace(" ", "%20")) if is_name else None
        raise InvalidUrl(exc.reason, "encode or remove it", meant) from None


def check_characters(url: str, unwanted: re.Pattern[str] = _UNSEEN) -> None:
    """Refuse characters that clients silently drop or misread. Raises InvalidUrl."""
    if match := unwanted.search(url):
        raise InvalidUrl(f"the URL contains {_named(match[0])} at character {match.start() + 1}", "encode or remove it")


def check_backslash(url: str) -> None:
    """Refuse backslashes, which browsers read as slashes. Raises InvalidUrl."""
    if "\\" in url:
        raise InvalidUrl("the URL contains a backslash", "write / between its parts")


def _not_http(url: str) -> InvalidUrl:
    from urlsum.origin.guard import suggestion  # noqa: PLC0415 - most URLs need none, and its patterns take 1 ms

    scheme = _SCHEME.match(url)
    meant = _parsable(suggestion.of(url))
    if scheme is None or suggestion.is_without_scheme(url):
        return InvalidUrl("the URL must be absolute and begin with http:// or https://", suggestion=meant)
    name = scheme["scheme"].lower()
    if name in DEFAULT_PORTS:
        return InvalidUrl(f"two slashes are missing after {scheme['scheme']}:", suggestion=meant)
    advice = suggestion.FTP if name == "ftp" else ""
    return InvalidUrl(f"urlsum reads http and https only, not {scheme['scheme']!r}", advice, meant)


def _parsable(url: str | None) -> str | None:
    """``url``, unless it breaks the grammar as well."""
    with suppress(InvalidUrl):
        if url is not None and _URL.fullmatch(url):
            parse(url)
            return url
    return None


def _named(character: str) -> str:
    return "a space" if character == " " else f"the invisible character U+{ord(character):04X}"


def _port(text: str | None, scheme: str) -> int:
    if not text:  # RFC 3986, 3.2.3: an empty port is the scheme's own
        return DEFAULT_PORTS[scheme]
    if not 1 <= int(text) <= HIGHEST_PORT:
        raise InvalidUrl(f"{text} is not a port; ports go from 1 to {HIGHEST_PORT}")
    return int(text)


def _host(text: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if "%" in text:
        raise InvalidUrl("the host contains a percent sign; host names are not percent-encoded")
    host = (text if text.isascii() else _ascii(text)).lower()
    host = host.removesuffix(".")  # the root: example.org. and example.org are one host
    if not host:
        raise InvalidUrl("the URL has no host")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host, spelled=text)
    if len(host) > MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl(f"{text[:MAX_HOST_CHARACTERS]!r} is not a host name")
    return host, None


def _ipv6(text: str) -> tuple[str, IPv6Address]:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise InvalidUrl(f"[{text}] is not an IPv6 address") from None
    if address.scope_id is not None:
        raise InvalidUrl(f"[{text}] has a zone (%), so it is an address of a local network")
    return str(address), address


def _ipv4(host: str, *, spelled: str) -> tuple[str, IPv4Address]:
    # Octal, hexadecimal, short and full-width spellings mean different addresses to different clients.
    if _DOTTED_QUAD.fullmatch(host) and spelled.removesuffix(".").isascii():
        try:
            address = IPv4Address(host)
        except AddressValueError:
            pass
        else:
            return host, address
    raise InvalidUrl(
        f"{spelled[:MAX_HOST_CHARACTERS]!r} is not an IPv4 address", "write four decimal numbers, like 192.0.2.1"
    )


def _ascii(text: str) -> str:
    if len(text) > MAX_HOST_CHARACTERS:
        raise InvalidUrl("the host name is too long")
    import idna  # noqa: PLC0415 - its tables are large, and few hosts need them

    try:
        # RFC 5891 after the mapping of UTS 46, as browsers do. It turns the full stops of Asian scripts into dots.
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as exc:
        raise InvalidUrl(f"{text!r} is not an internationalized host name: {exc}") from exc
