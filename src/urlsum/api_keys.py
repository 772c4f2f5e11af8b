"""API keys: random tokens that a client sends, of which a deployment keeps SHA-256 hashes only.

``API_KEYS`` lists them as ``name:hash[:limit=value;…]``, separated by commas: ``lab:9f86d0…:day=20000;bytes=0``. A key
has 256 random bits, so its hash cannot be guessed, and a slow hash, as passwords need it, would cost every request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from msgspec import Struct

from urlsum import units

# The limits of a client that a key may have of its own, by the names that responses give them.
LIMITS = ("minute", "day", "unfinished", "bytes", "fresh")
# Scanners that look for leaked secrets recognize a key by its beginning.
PREFIX = "urlsum_"
# As many bits as the hash has.
RANDOM_BYTES = 32
# Short enough that `key:` and the name fit into the column of a task's client.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LIMIT = re.compile(rf"({'|'.join(LIMITS)})=(?:([0-9]{{1,15}})|(.*))")


class ApiKey(Struct, frozen=True):
    """One key: its name, the SHA-256 of its token in hexadecimal digits, and its own limits (0 means none)."""

    name: str
    digest: str
    limits: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return f"ApiKey({self.name!r})"

    def __str__(self) -> str:
        """The key as ``API_KEYS`` lists it."""
        limits = ";".join(f"{name}={value}" for name, value in self.limits)
        return f"{self.name}:{self.digest}{':' if limits else ''}{limits}"


class ApiKeys(tuple[ApiKey, ...]):
    """The keys of a deployment."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> ApiKeys:
        """The keys in a value of ``API_KEYS``. Raises ValueError, which quotes no hash."""
        keys = cls(_key(item.strip()) for item in text.split(",") if item.strip())
        names = [key.name for key in keys]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two keys have the name {twice!r}")
        return keys

    def find(self, token: str) -> ApiKey | None:
        """The key with this token. The time of the search depends on neither token nor hashes."""
        digest = digest_of(token)
        found = None
        for key in self:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def named(self, name: str) -> ApiKey | None:
        """The key with this name."""
        return next((key for key in self if key.name == name), None)


def make(name: str, limits: tuple[str, ...] = ()) -> tuple[str, ApiKey]:
    """A new token, which nothing else keeps, and its key. Raises ValueError on a wrong name or limit."""
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return token, _key(":".join([name, digest_of(token), *([";".join(limits)] if limits else [])]))


def digest_of(token: str) -> str:
    """The hash that stands for ``token``."""
    return hashlib.sha256(token.encode()).hexdigest()


def _key(text: str) -> ApiKey:
    name, _, rest = text.partition(":")
    digest, colon, limits = rest.partition(":")
    if not _NAME.fullmatch(name):
        # The text may be a token that was pasted in the wrong place.
        raise ValueError("the name of a key has 1 to 40 letters, digits or any of . _ -")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"the key {name} needs its SHA-256: 64 hexadecimal digits")
    return ApiKey(name, digest, tuple(_limit(name, item) for item in limits.split(";")) if colon else ())


def _limit(name: str, text: str) -> tuple[str, int]:
    match = _LIMIT.fullmatch(text.strip())
    # The others count without a unit.
    value = int(match[2]) if match and match[2] else units.size(match[3]) if match and match[1] == "bytes" else None
    if match is None or value is None:
        raise ValueError(f"the limits of the key {name} are any of {', '.join(LIMITS)}, as in day=1000;bytes=0")
    return match[1], value
