"""A part of a file: where it stands, who fetches it, and the blocks that have come of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.origin.buffers import Block
    from urlsum.origin.version.version import Tail


@dataclass(slots=True, eq=False)
class Part:
    """The bytes of the file from ``first`` to ``end`` (None: to wherever it ends); ``at`` is the next to come.

    ``source`` names who fetches it, None when nobody does, and ``reach`` how far that answer goes, which may be beyond
    ``end`` once a part was cut off; ``proven`` says that the answer was checked, and ``lead`` what it has before the
    part. ``granted`` is up to where blocks were lent.
    """

    first: int
    end: int | None
    at: int
    proven: bool = False
    lead: Tail | None = None
    source: object | None = None
    reach: int | None = None
    granted: int = 0
    tries: int = 0
    error: Exception | None = None
    following: Part | None = None
    blocks: deque[Block] = field(default_factory=deque)

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self.at == self.end
