"""Hides signatures and tokens in URLs that others than the submitter may see.

An id lets anybody who knows it read the task, pages stay in histories, and emails are forwarded; the submitter has the
URL anyway. What looks like a secret is hidden, even if it is none: a parameter that was hidden in error costs nobody
anything.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from urlsum.text.expected_md5 import is_only_md5

HIDDEN = "…"

# Whole words of a parameter's name, in any case and with any separator: X-Amz-Security-Token, accessToken, api_key.
WORD = re.compile(
    r"apikey|auth|authkey|authorization|bearer|cookie|cred|credentials?|csrf|dsig|gda|hash|hmac|jwt|key|keyid|mac|nonce"
    r"|otp|pass|passphrase|passwd|password|policy|pwd|rlkey|sas|secret|sess|session|sessionid|sid|sig|sign|signature"
    r"|signed|tempauth|ticket|tok|token"
)
# The same, where a name is written as one word: downloadtoken, resourcekey, JSESSIONID, SAMLResponse.
ONE_WORD = re.compile(
    r"(?:authtok|hdn|oauth|passw|saml|secret|sign|token).*"
    r"|.*(?:accessid|auth|credential|hmac|jwt|key|keyid|password|secret|sessid|sessionid|sig|signature|ticket|token)"
)
# Object stores prefix all parameters of a signed URL: AWS, Google, Alibaba, Tencent (two), Huawei, ByteDance, B2.
VENDORS = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "q-", "x-obs-", "x-tos-", "x-bz-")
# A URL that expires is signed, whatever the name of its signature: nginx's secure_link has md5 and expires, others have
# h and e. https://nginx.org/en/docs/http/ngx_http_secure_link_module.html
EXPIRIES = frozenset(
    {"e", "exp", "expire", "expires", "expiration", "expiry", "ttl", "validto", "validuntil", "deadline"}
)
# These are common words alone; together they are an Azure SAS without its sig, or the response of an OAuth server.
# https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas
TOGETHER = (frozenset({"sv", "se"}), frozenset({"sv", "sp"}), frozenset({"code", "state"}))
# Values that no person chose: a JWT (RFC 7519), a digest of up to 512 bits, and Base64 of 18 bytes or more with letters
# of both cases and digits. UUIDs and names of files are none of these.
RANDOM = re.compile(
    r"eyJ[\w-]+\.[\w.-]+"
    r"|[0-9A-Fa-f]{32,128}"
    r"|(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])[\w+/-]{24,}={0,2}",
    re.ASCII,
)

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SEPARATORS = re.compile(r"[&;?]")
# Besides the parameters of a segment (RFC 3986, 3.3) Akamai's tokens: /hdnts=exp=1~hmac=…/
_IN_PATH = re.compile(r"([/;~])")
_USER = re.compile(r"\A(\w+://)[^/?#]*@")


def public_url(url: str, *, query_is_secret: bool = False) -> str:
    """``url`` without userinfo, and with ``…`` for a query, a fragment or parts of the path that hold a secret.

    Of a URL that an origin issued to urlsum only, ``query_is_secret``.

    >>> public_url("https://host/reads.bam?X-Amz-Signature=1&v=2"), public_url("https://host/reads.bam?v=2#part")
    ('https://host/reads.bam?…', 'https://host/reads.bam?v=2#part')
    """
    head, fragment_mark, fragment = url.partition("#")
    path, query_mark, query = head.partition("?")
    shown_query = HIDDEN if query_is_secret or _secret(query) else query
    shown_fragment = HIDDEN if _secret(fragment) and not is_only_md5(fragment) else fragment
    return f"{public_path(path)}{query_mark}{query_mark and shown_query}{fragment_mark}{shown_fragment}"


def public_path(path: str) -> str:
    """A URL up to its path, with ``…`` for userinfo and for the values of secret parameters in segments.

    >>> public_path("https://user:password@host/a.bam;jsessionid=1")
    'https://…@host/a.bam;jsessionid=…'
    """
    parts = _IN_PATH.split(_USER.sub(rf"\1{HIDDEN}@", path))
    return "".join(_without_value(part) for part in parts)


def _without_value(part: str) -> str:
    name, equals, _ = part.partition("=")
    # Not those that are a key only by their name: folders of a partitioned data set are called key=1.
    return f"{name}={HIDDEN}" if equals and name.lower() != "key" and _secret_name(name) else part


def _secret(parameters: str) -> bool:
    pairs = [piece.partition("=") for piece in _SEPARATORS.split(parameters) if piece]
    names = {unquote(name).lower() for name, _, _ in pairs}
    if len(names) > 1 and any(_squeezed(name) in EXPIRIES for name in names):
        return True
    if any(both <= names for both in TOGETHER):
        return True
    return any(
        (equals and _secret_name(unquote(name))) or RANDOM.fullmatch(unquote(value if equals else name))
        for name, equals, value in pairs
    )


def _secret_name(name: str) -> bool:
    return (
        name.lower().startswith(VENDORS)
        or ONE_WORD.fullmatch(_squeezed(name)) is not None
        or any(WORD.fullmatch(word.lower()) for word in _WORDS.findall(name))
    )


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
