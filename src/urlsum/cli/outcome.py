"""The request to a hasher and its outcome, the same for local hashing and for a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from urlsum.text import expected_md5
from urlsum.text.expected_md5 import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from urlsum.text.remarks import Note


@dataclass(frozen=True, slots=True)
class HashRequest:
    """A URL to hash. ``md5`` is the expected digest in lower case and ``size`` the length in bytes, if known."""

    url: str
    md5: str | None = None
    size: int | None = None

    @classmethod
    def of(cls, url: str, md5: str | None = None) -> Self:
        """The request for ``url`` without the blanks around it; its fragment may name the digest. Raises NotMd5."""
        url = url.strip(BLANKS)
        return cls(url, expected_md5.of_url(url, md5))


@dataclass(frozen=True, slots=True)
class Version:
    """What identifies the version that was read; ``proof`` is the validator that the origin confirmed."""

    etag: str | None = None
    last_modified: float | None = None
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The digest of one URL or, if ``md5`` is None, a stable failure code and a message in words.

    ``link`` leads to the task of a service that is not waited for; then there is neither. ``notes`` are remarks about
    the digest, a sentence or two each. ``seconds`` and ``attempts`` are of this run.
    """

    url: str
    md5: str | None = None
    code: str = ""
    message: str = ""
    notes: tuple[Note, ...] = ()
    final_url: str | None = None
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    version: Version | None = None
    seconds: float | None = None
    attempts: int | None = None
    link: str | None = None


class Hasher(Protocol):
    """Computes digests: ``LocalHasher`` or ``RemoteHasher``."""

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order, as soon as it is known. Raises Interrupted."""
        ...

    def resume_hint(self) -> str:
        """A hint for the person who interrupted the work: its state, and how to resume it."""
        ...

    def finish(self) -> None:
        """End the run: all outcomes are printed, so nothing is kept for another one."""
        ...
