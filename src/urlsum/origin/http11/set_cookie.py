"""Rewrites the value of Set-Cookie so that the standard library's cookie jar reads it as RFC 6265 does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import quote

# RFC 6265, 5.1.1.
_DATE_TOKEN = re.compile(r"[^\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Two digits mean 1970 to 2069.
_CENTURY_TURNS = 70
_FIRST_YEAR = 1601

_MAX_AGE = re.compile(r"-?[0-9]+")
# RFC 6265, 5.2.2 calls it "the latest representable date and time". No task lasts for 100 years.
_FOREVER_SECONDS = 100 * 366 * 86_400
_NUMERIC = re.compile(r"[0-9.]+|.*:.*")  # an IPv4 or IPv6 address
_BLANKS = " \t"


def canonical(text: str, host: str) -> str | None:
    """The Set-Cookie ``text`` of ``host``, with each attribute at most once; None if the cookie is not for ``host``.

    The result has only the attributes Domain, Path, Max-Age or Expires, and Secure, with values that the jar takes as
    they are. The bytes of ``text`` from 0x80 on are surrogates (PEP 383). RFC 6265, 5.2 and 5.3.
    """
    pair, *rest = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(_BLANKS), value.strip(_BLANKS)
    attributes = [_attribute(each) for each in rest]
    domain = _domain([value for key, value in attributes if key == "domain"])
    if not name or (domain and not _matches(host, domain)):
        return None
    parts = [f"{name}={value}" if equals else name]
    # A host without a dot shares its domain with no other host, and the jar takes it for an abbreviation.
    if domain and "." in host and not _NUMERIC.fullmatch(host):
        parts.append(f"Domain={domain}")
    if path := _path([value for key, value in attributes if key == "path"]):
        parts.append(f"Path={path}")
    # Max-Age has precedence over Expires (5.3).
    lifetime = _max_age([value for key, value in attributes if key == "max-age"])
    parts += lifetime or _expires([value for key, value in attributes if key == "expires"])
    if any(key == "secure" for key, _ in attributes):
        parts.append("Secure")
    return "; ".join(parts)


def _attribute(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(_BLANKS).lower(), value.strip(_BLANKS)


def _domain(values: list[str]) -> str | None:
    """RFC 6265, 5.2.3: an empty one is ignored, and so is a leading dot."""
    domains = [value for value in values if value]
    return domains[-1].removeprefix(".").lower() if domains else None


def _matches(host: str, domain: str) -> bool:
    """RFC 6265, 5.1.3: an IP address matches only itself."""
    if _NUMERIC.fullmatch(host):
        return domain.strip("[]") == host
    return host == domain or host.endswith("." + domain)


def _path(values: list[str]) -> str | None:
    """RFC 6265, 5.2.4: None for the default path. Bytes are percent-encoded, as they are in the path of a request."""
    if not values or not values[-1].startswith("/"):
        return None
    return quote(values[-1].encode("ascii", "surrogateescape"), safe="%/:@&=+$,!~*'()")


def _max_age(values: list[str]) -> list[str]:
    """RFC 6265, 5.2.2."""
    valid = [value for value in values if _MAX_AGE.fullmatch(value)]
    return [f"Max-Age={min(max(float(valid[-1]), 0.0), _FOREVER_SECONDS):.0f}"] if valid else []


def _expires(values: list[str]) -> list[str]:
    """RFC 6265, 5.2.1."""
    dates = [date for date in map(cookie_date, values) if date is not None]
    # The jar reads no date before 1970; such a cookie has expired as well.
    return [f"Expires={formatdate(max(dates[-1], 0), usegmt=True)}"] if dates else []


def cookie_date(text: str) -> int | None:
    """The date of RFC 6265, 5.1.1 in seconds since the epoch; None if ``text`` has none.

    >>> cookie_date("Sunday, 06-Nov-94 08:49:37 GMT")
    784111777
    """
    time: re.Match[str] | None = None
    day = month = year = None
    for token in _DATE_TOKEN.findall(text):
        if time is None and (match := _TIME.match(token)):
            time = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:  # noqa: PLR2004 - two digits
        year += 1900 if year >= _CENTURY_TURNS else 2000
    try:
        date = datetime(year, month, day, int(time[1]), int(time[2]), int(time[3]), tzinfo=UTC)
    except ValueError:
        return None
    return int(date.timestamp()) if year >= _FIRST_YEAR else None
