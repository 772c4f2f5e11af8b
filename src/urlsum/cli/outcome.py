"""What is asked of a hasher, and what comes back: for hashing here and for a service alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Wanted:
    """A URL whose MD5 is asked for; ``md5`` is what it should be, in lower case, when that is known."""

    url: str
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The digest of one URL or, with ``md5`` None, why there is none: a stable code, and words for people.

    ``notes`` are remarks about the digest, a sentence or two each.
    """

    url: str
    md5: str | None = None
    code: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()


class Hasher(Protocol):
    """Finds digests: ``LocalHasher`` or ``RemoteHasher``."""

    def digests(self, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        """One outcome for each, in order, as soon as it is there. Raises Interrupted."""
        ...

    def how_to_go_on(self) -> str:
        """What to tell a person who interrupted the work."""
        ...
