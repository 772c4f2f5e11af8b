"""The request to a hasher and its outcome, the same for local hashing and for a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class HashRequest:
    """A URL to hash. ``md5`` is the expected digest in lower case, if it is known."""

    url: str
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The digest of one URL or, if ``md5`` is None, a stable failure code and a message in words.

    ``notes`` are remarks about the digest, a sentence or two each.
    """

    url: str
    md5: str | None = None
    code: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()


class Hasher(Protocol):
    """Computes digests: ``LocalHasher`` or ``RemoteHasher``."""

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order, as soon as it is known. Raises Interrupted."""
        ...

    def resume_hint(self) -> str:
        """A hint for the person who interrupted the work: its state, and how to resume it."""
        ...
