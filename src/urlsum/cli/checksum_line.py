"""Parses one line of a checksum list into digest and URL, or a reason (GNU coreutils 9.1, src/digest.c, split_3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from urlsum.cli.lines import MAX_LINE_CHARACTERS
from urlsum.cli.outcome import HashRequest
from urlsum.text import expected_md5
from urlsum.text.expected_md5 import BLANKS, HEX_DIGITS, OTHER_DIGESTS, NotMd5

# Half an MD5. Shorter runs are dates and words; a longer run may be a truncated digest.
SHORTEST_DIGEST_DIGITS = 16
NOT_AN_MD5 = "the MD5 is not 32 hexadecimal digits"
# The wording of md5sum, which scripts search for.
MALFORMED = "improperly formatted MD5 checksum line"
NO_MD5 = "this line has a URL, but no MD5"
AFTER_THE_URL = "the MD5 must come before the URL"
NUL_BYTES = (
    "the line contains NUL bytes (UTF-16 or UTF-32 without a byte-order mark, the output of md5sum -z, or binary data);"
    " save the list as UTF-8, with line feeds"
)

# cat leaves the byte-order mark of a second list at the beginning of a line.
_MARK = "\ufeff"
# No URL begins or ends with any of these.
_BLANKS = BLANKS.replace("\n", "")
_BLANK = f"[{_BLANKS}]"
# 16 bytes in base64, as the Content-MD5 field and cloud storage write them.
_BASE64_MD5 = r"[A-Za-z0-9+/]{22}=="
# After a digest: a blank, then a blank (text) or an asterisk (binary). BSD's md5 -r writes only the first blank. Zenodo
# writes md5: before its digests, and S3 a hyphen and the number of parts behind what is no MD5.
_PLAIN = re.compile(
    rf"(?P<digest>[0-9A-Fa-f]+|md5:[0-9A-Fa-f]{{{HEX_DIGITS}}}|[0-9A-Fa-f]{{{HEX_DIGITS}}}-[0-9]{{1,5}}|{_BASE64_MD5})"
    rf"{_BLANK}[ *]?(?P<name>.+)"
)
# The first line of conda's lists; their URLs have the digest as a fragment.
# https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html#building-identical-conda-environments
_CONDA = "@EXPLICIT"
# BSD's md5 writes "MD5 (name) = digest", OpenSSL "MD5(name)= digest" and Solaris "md5 (name) = digest".
_TAG = re.compile(r"(?P<tag>[A-Za-z0-9][A-Za-z0-9/_-]{0,30})[ \t]?\(")
# The digest names of OpenSSL, coreutils and BSD's tools. Any other word before a parenthesis is not a digest name.
_OTHER_TAG = re.compile(
    r"(?:HMAC|KMAC|CMAC)\b.*|(?:SHA|SHAKE|KECCAK|BLAKE|RMD|RIPEMD|SKEIN|TIGER|HAVAL|STREEBOG|XXH|CRC|ADLER)-?[0-9].*"
    r"|SHA|SM3|MD2|MD4|MD5-SHA1|MDC2|WHIRLPOOL|TIGER",
    re.IGNORECASE | re.ASCII,
)
_VALUE = re.compile(rf"{_BLANK}*={_BLANK}*(?P<digest>[0-9A-Za-z+/]+={{0,2}})")
# In one run or, as certutil of Windows used to print it, in pairs.
_HEX = re.compile(
    rf"[0-9A-Fa-f]{{{SHORTEST_DIGEST_DIGITS},}}"
    rf"|(?:[0-9A-Fa-f]{{2}}[ :-]){{{SHORTEST_DIGEST_DIGITS // 2 - 1}}}[0-9A-Fa-f]{{2}}"
)
_HEX_BYTES = re.compile(_HEX.pattern.encode())
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
_MD5 = re.compile(rf"[0-9A-Fa-f]{{{HEX_DIGITS}}}")
# Quotes and angle brackets may enclose the URL. No other form puts the digest last.
_URL_FIRST = re.compile(r"[\"'<]?[A-Za-z][A-Za-z0-9+.-]*://")
_URL_ONLY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_MD5_AT_END = re.compile(rf"{_BLANK}\*?{_MD5.pattern}\Z")
# An HTML tag or comment; a JSON object, or an array.
_MARKUP = re.compile(r"<[A-Za-z!/?]|\{|\[[ \t\"\[{]|\[\Z")
_ESCAPED = re.compile(r"(?:[^\\]|\\[\\nr])*")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


@dataclass(frozen=True, slots=True)
class Unverified:
    """A line that cannot be verified, and the ``reason`` in words.

    ``checksum`` is true if the line has a digest or a URL: a file then remains unchecked.
    """

    reason: str
    checksum: bool = True


def parse(line: str) -> HashRequest | Unverified | None:
    """The digest and the URL of ``line``, or None when it is empty or a comment."""
    line = line.lstrip(_MARK)
    if not line.removesuffix("\r") or line.startswith("#") or line.strip(_BLANKS) == _CONDA:
        return None
    if len(line) > MAX_LINE_CHARACTERS:
        return Unverified(f"the line has more than {MAX_LINE_CHARACTERS} characters")
    if "\0" in line:
        return Unverified(NUL_BYTES)
    text = line.strip(_BLANKS)
    escaped = text.startswith("\\")
    text = text.removeprefix("\\")
    return _parse_tagged(text, escaped=escaped) or _parse_plain(text, escaped=escaped) or _reject(text)


def _parse_tagged(text: str, *, escaped: bool) -> HashRequest | Unverified | None:
    start = _TAG.match(text)
    if start is None:
        return None
    # The last parenthesis ends the name, as in md5sum: the name may contain parentheses.
    name, _, rest = text[start.end() :].rpartition(")")
    value = _VALUE.fullmatch(rest)
    if start["tag"].upper() == "MD5":
        if value is None:
            return Unverified(MALFORMED)
        return _hash_request(name, value["digest"], escaped=escaped)
    if value is not None and len(value["digest"]) >= SHORTEST_DIGEST_DIGITS:
        known = _OTHER_TAG.fullmatch(start["tag"])
        return Unverified(f"this is {start['tag']}; urlsum verifies only MD5" if known else MALFORMED)
    return None


def _parse_plain(text: str, *, escaped: bool) -> HashRequest | Unverified | None:
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    digits, name = len(match["digest"]), match["name"]
    if digits == HEX_DIGITS or not _HEXADECIMAL.fullmatch(match["digest"]):
        return _hash_request(name, match["digest"], escaped=escaped)
    if digits in OTHER_DIGESTS and (digits >= SHORTEST_DIGEST_DIGITS or "://" in name):
        return _other_digest(digits)
    return None


def _other_digest(digits: int) -> Unverified:
    return Unverified(f"this is {OTHER_DIGESTS[digits]} ({digits} hexadecimal digits); urlsum verifies only MD5")


def _hash_request(name: str, digest: str, *, escaped: bool) -> HashRequest | Unverified:
    try:
        md5 = expected_md5.read(digest)
    except NotMd5 as exc:
        return Unverified(NOT_AN_MD5 if _HEXADECIMAL.fullmatch(digest) else str(exc))
    url = name.strip(_BLANKS)
    if not url:
        return Unverified("this is an MD5 without a URL")
    if "\ufffd" in url:
        return Unverified("the line contains bytes that are invalid in this list's encoding; save it as UTF-8")
    if escaped:
        if not _ESCAPED.fullmatch(url):
            return Unverified(
                r"the line begins with a backslash, and its URL contains an escape other than \\, \n or \r"
            )
        url = re.sub(r"\\.", lambda match: _ESCAPES[match[0]], url)
    return _with_fragment(url, md5) or HashRequest(url, md5)


def _with_fragment(url: str, md5: str | None = None) -> HashRequest | Unverified | None:
    """The request of ``url``, if its fragment names an MD5, which must be ``md5`` if there is one."""
    try:
        expected = expected_md5.of_url(url, md5) if "://" in url else md5
    except NotMd5 as exc:
        return Unverified(str(exc))
    return None if expected is None else HashRequest(url, expected)


def _reject(text: str) -> HashRequest | Unverified:
    if _URL_FIRST.match(text) and _MD5_AT_END.search(text):
        return Unverified(AFTER_THE_URL)
    if _URL_ONLY.fullmatch(text):
        if found := _with_fragment(text):
            return found
        # As conda writes it, perhaps after sha256: or sha256=
        digest = re.split("[:=]", text.partition("#")[2])[-1]
        if len(digest) in OTHER_DIGESTS and _HEX.fullmatch(digest):
            return _other_digest(len(digest))
        if not _HEX.search(text):
            return Unverified(NO_MD5)
    # md5sum does not accept an indented comment, but no user expects it to be verified.
    checksum = not text.startswith("#") and ("://" in text or bool(_HEX.search(text)) or _hides_digest(text))
    if _MARKUP.match(text):
        return Unverified("this is HTML or JSON, not a checksum line", checksum)
    return Unverified(MALFORMED, checksum)


def _hides_digest(text: str) -> bool:
    """Whether the bytes in another encoding contain a digest: programs append to a list and ignore its encoding."""
    if text.isascii():
        return False
    return any(
        _HEX_BYTES.search(text.encode(each, "replace").replace(b"\0", b"")) for each in ("utf-16-le", "utf-16-be")
    )
