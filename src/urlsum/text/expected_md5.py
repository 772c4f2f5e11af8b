"""The MD5 that a person expects, in the forms in which tools, download pages and clouds write it."""

from __future__ import annotations

import re
from binascii import a2b_base64
from urllib.parse import unquote

HEX_DIGITS = 32
USUAL = "an MD5 is 32 hexadecimal digits, like the first column of md5sum's output"
S3_MULTIPART = (
    "this is the ETag of an S3 multipart upload, not an MD5: the number after the hyphen counts its parts; use the MD5"
    " that was published with the file"
)
# Hexadecimal digits of the digests that common tools write in the form of md5sum: crc32, sha1sum … sha512sum.
OTHER_DIGESTS = {8: "CRC-32", 40: "SHA-1", 56: "SHA-224", 64: "SHA-256", 96: "SHA-384", 128: "SHA-512"}
# Characters of the same digests in base64, with padding.
_OTHER_BASE64 = {28: "SHA-1", 40: "SHA-224", 44: "SHA-256", 88: "SHA-512"}

# Unicode whitespace, including the no-break spaces of web pages, and three zero-width characters.
BLANKS = (
    "\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
)
LINE_FEED = "\n"
_QUOTES = "\"'`<>\u201c\u201d\u2018\u2019"
_HEX = re.compile(r"[0-9A-Fa-f]+")
# certutil of Windows, and fingerprints: in pairs.
_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(?:([ :-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){14}")
_S3_MULTIPART = re.compile(r"[0-9A-Fa-f]{32}-[0-9]{1,5}")
# 16 bytes (Content-MD5, x-goog-hash, gsutil, Azure), perhaps in the URL-safe alphabet. In a form that is not
# percent-encoded, a plus sign arrives as a blank.
_BASE64_MD5 = re.compile(r"[A-Za-z0-9+/_ -]{22}==")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={1,2}")
# The name of another digest before its value: sha256:…, sha1-…
_OTHER_NAME = re.compile(r"(sha-?[0-9]{1,3}|crc-?32c?|blake[0-9a-z]+)[ \t]*[:=-]", re.IGNORECASE | re.ASCII)
# A line of md5sum begins with the digest; the name of the file may have another one.
_LINE = re.compile(rf"\\?([0-9A-Fa-f]+)[{BLANKS.replace(LINE_FEED, '')}].*")
# What may stand before and after a digest. Names of files and paths have other characters: reads-d41d….bam is none.
_BEFORE, _AFTER = rf"(?:^|[{BLANKS}{_QUOTES}:=,;(*]|md5-)", rf"(?=$|[{BLANKS}{_QUOTES}:,;)])"
_DIGEST = re.compile(
    rf"{_BEFORE}([0-9A-Fa-f]{{{HEX_DIGITS}}}|[A-Za-z0-9+/_-]{{22}}==){_AFTER}", re.IGNORECASE | re.ASCII
)
# pip, aria2 and others write md5=…
_PARAMETER = re.compile(r"(?:^|&)md5[=:]([^&]*)", re.IGNORECASE)
_ONLY_MD5 = re.compile(
    rf"(?:md5[=:])?[0-9a-f]{{{HEX_DIGITS}}}|md5[=:][a-z0-9+/_-]{{22}}(?:==|%3D%3D)", re.IGNORECASE | re.ASCII
)


class NotMd5(ValueError):
    """The text is no MD5; the message says what it is instead, as far as that is known."""


def read(text: str) -> str:
    """The MD5 in ``text``, as 32 lower-case hexadecimal digits. Raises NotMd5.

    >>> read(" md5:D41D8CD98F00B204E9800998ECF8427E"), read("Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==")
    ('d41d8cd98f00b204e9800998ecf8427e', 'd41d8cd98f00b204e9800998ecf8427e')
    >>> read("d41d8cd98f00b204e9800998ecf8427e *reads.bam"), read("MD5 (a) = d41d8cd98f00b204e9800998ecf8427e")
    ('d41d8cd98f00b204e9800998ecf8427e', 'd41d8cd98f00b204e9800998ecf8427e')
    """
    # Before the blanks are stripped: the first one may have been a plus sign.
    if _BASE64_MD5.fullmatch(text) and (digest := _from_base64(text)):
        return digest
    text = text.strip(BLANKS + _QUOTES)
    if _PAIRS.fullmatch(text):
        return re.sub("[ :-]", "", text).lower()
    line = _LINE.fullmatch(text)
    if line and len(line[1]) in {HEX_DIGITS, *OTHER_DIGESTS}:
        text = line[1]
    # The segments of a URL are no digests.
    digests = {_value(match) for match in _DIGEST.findall(text)} - {""} if "://" not in text else set()
    if len(digests) > 1:
        raise NotMd5("this has several MD5s; give the one of this file")
    if not digests:
        raise NotMd5(_why_not(text))
    return digests.pop()


def of_url(url: str, md5: str | None = None) -> str | None:
    """The expected MD5 of ``url``: ``md5``, or the one in its fragment. Raises NotMd5.

    A fragment names a digest as ``#md5=…``, ``#md5:…`` or, as in conda's lists, by its bare digits.

    >>> of_url("https://example.org/a#md5=d41d8cd98f00b204e9800998ecf8427e"), of_url("https://example.org/a#top")
    ('d41d8cd98f00b204e9800998ecf8427e', None)
    """
    in_url = _of_fragment(url.partition("#")[2])
    if md5 is not None and in_url is not None and md5 != in_url:
        raise NotMd5(f"the URL's fragment has another MD5 ({in_url}); leave one of the two out")
    return md5 or in_url


def is_only_md5(fragment: str) -> bool:
    """Whether ``fragment`` has an MD5 and nothing else: it is no secret, since responses show the expected MD5.

    >>> is_only_md5("md5=d41d8cd98f00b204e9800998ecf8427e"), is_only_md5("md5=d41d8cd98f00b204e9800998ecf8427e&token=1")
    (True, False)
    """
    return _ONLY_MD5.fullmatch(fragment) is not None


def _of_fragment(fragment: str) -> str | None:
    # Split before it is decoded: a digest in base64 may have %26 for no reason, but never a bare &.
    if match := _PARAMETER.search(fragment):
        try:
            return read(unquote(match[1]))
        except NotMd5 as exc:
            raise NotMd5(f"the MD5 in the URL's fragment is none: {exc}") from exc
    text = unquote(fragment)
    if _S3_MULTIPART.fullmatch(text):
        raise NotMd5(f"the MD5 in the URL's fragment is none: {S3_MULTIPART}")
    return text.lower() if len(text) == HEX_DIGITS and _HEX.fullmatch(text) else None


def _value(digest: str) -> str:
    return digest.lower() if len(digest) == HEX_DIGITS else _from_base64(digest)


def _from_base64(text: str) -> str:
    """The 16 bytes in ``text`` as hexadecimal digits; empty if its last digit has bits that no encoder sets."""
    standard = text.replace(" ", "+").replace("-", "+").replace("_", "/")
    return a2b_base64(standard).hex() if standard[21] in "AQgw" else ""


def _why_not(text: str) -> str:
    """What ``text`` is, or the last word of it, since a label may precede."""
    for part in (text, text.rpartition(" ")[2].strip(_QUOTES)):
        count = len(part)
        if _S3_MULTIPART.fullmatch(part):
            return S3_MULTIPART
        if match := _OTHER_NAME.match(part):
            return f"this is {match[1].upper()}; urlsum compares only MD5"
        if _HEX.fullmatch(part):
            if count in OTHER_DIGESTS:
                return f"this is {OTHER_DIGESTS[count]} ({count} hexadecimal digits); urlsum compares only MD5"
            return f"this has {count} hexadecimal digits; an MD5 has {HEX_DIGITS}"
        if _BASE64.fullmatch(part) and count in _OTHER_BASE64:
            return f"this is {_OTHER_BASE64[count]} in base64; urlsum compares only MD5"
    return "a weak ETag is not an MD5" if text.startswith("W/") else USUAL
