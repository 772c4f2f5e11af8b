"""The http or https URL that a person probably meant by one without a scheme, or with that of an archive."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address

# What many archives serve by https at the same path, and whose names have a certificate.
FTP = "most archives serve the same path over https"
# The public form of an object's address. A bucket with dots in its name has no certificate for a host of its own.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
# https://cloud.google.com/storage/docs/request-endpoints
_S3_HOST, _S3_PATH, _GS = (
    "https://{}.s3.amazonaws.com/",
    "https://s3.amazonaws.com/{}/",
    "https://storage.googleapis.com/{}/",
)

_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?(?=[/?#]|\Z)"
)
_SLASHES = re.compile(r"(?P<scheme>https?)(?::/*|/+)(?=[^/:])", re.IGNORECASE | re.ASCII)
# As emails, documents and scripts enclose URLs.
_QUOTED = re.compile(r"[\"'`<\u201c\u2018](?P<url>https?://.+?)[\"'`>\u201d\u2019]", re.IGNORECASE)
_OTHER = re.compile(
    r"(?P<scheme>ftp|s3|gs)://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*)(?::21)?(?:/(?P<path>.*))?", re.IGNORECASE | re.ASCII
)


def of(url: str) -> str | None:
    """The URL that was probably meant by ``url``, which is none of http or https; not parsed yet. None without one.

    >>> of('"https://example.org/f"'), of("<https://example.org/f>")
    ('https://example.org/f', 'https://example.org/f')

    >>> of("www.example.org/f"), of("localhost:8080/x"), of("ftp://ftp.example.org/pub/f")
    ('https://www.example.org/f', 'http://localhost:8080/x', 'https://ftp.example.org/pub/f')
    >>> of("s3://bucket/key"), of("//example.org/f"), of("https:/example.org/f"), of("reads.bam")
    ('https://bucket.s3.amazonaws.com/key', 'https://example.org/f', 'https://example.org/f', None)
    """
    if match := _QUOTED.fullmatch(url):
        return match["url"]
    if match := _OTHER.fullmatch(url):
        return _elsewhere(match["scheme"].lower(), match["host"], match["path"] or "")
    if match := _SLASHES.match(url):
        return f"{match['scheme'].lower()}://{url[match.end() :]}"
    bare = url.removeprefix("//")
    match = _HOST.match(bare)
    if match is None or not _is_host(match) or not _is_meant(bare, match):
        return None
    return f"{'http' if _is_plain(match['host'], match['port']) else 'https'}://{bare}"


def is_without_scheme(url: str) -> bool:
    """Whether ``url`` begins with a host: what stands before its first colon is no scheme."""
    match = _HOST.match(url)
    return match is not None and _is_host(match) and match["port"] is not None


def _elsewhere(scheme: str, host: str, path: str) -> str:
    if scheme == "ftp":
        return f"https://{host}/{path}"
    if scheme == "gs":
        return _GS.format(host) + path
    return (_S3_PATH if "." in host or "_" in host else _S3_HOST).format(host) + path


def _is_host(match: re.Match[str]) -> bool:
    """Whether the name or the address of a host was found, not the scheme of another URL or a word."""
    host, dot = match["host"].lower(), "." in match["host"]
    return dot or match["port"] is not None or host == "localhost" or host.startswith("[")


def _is_meant(url: str, match: re.Match[str]) -> bool:
    """Whether the host is no file: ``reads.bam`` alone is one, ``www.example.org`` is not."""
    return match.end() < len(url) or match["port"] is not None or match["host"].lower().startswith("www.")


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text.strip("[]")))
    return False


def _is_plain(host: str, port: str | None) -> bool:
    """Whether the host rather serves http: this machine, an address, or the usual ports without TLS."""
    return host.lower() == "localhost" or _is_address(host) or port in (":80", ":8000", ":8080")
