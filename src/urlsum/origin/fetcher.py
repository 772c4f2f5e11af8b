"""One connection of several, in a thread of its own: claims parts of the file and fills the window with them."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from urlsum.errors import DeadlineReached
from urlsum.origin.http11.pool import ask

if TYPE_CHECKING:
    from urlsum.origin.buffers import Block
    from urlsum.origin.http11.body import Answer
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.part import Part
    from urlsum.origin.prefetch import Prefetch
    from urlsum.origin.ranges import Ranges
    from urlsum.origin.version.version import Tail


class Fetcher(threading.Thread):
    """Fetches until there is nothing left to do for it. ``received`` counts the bytes that it brought.

    It begins with ``answer``, which is open already, or with a connection of its own.
    """

    def __init__(self, owner: Prefetch, answer: Answer | None) -> None:
        super().__init__(name="fetch", daemon=True)
        self.received = 0
        self._owner = owner
        self._window = owner.window
        self._answer = answer
        self._connection: Connection | None = answer.connection if answer else None

    def run(self) -> None:
        """Fetch part after part."""
        try:
            if self._answer is not None:
                self._fetch(self._window.begin(self), self._answer)
            while part := self._next():
                self._fetch(part, None)
        finally:
            self._let_go()
            self._owner.left()

    def abort(self) -> None:
        """Wake it where it waits for the origin; from any thread."""
        connection = self._connection
        if connection is not None:
            connection.wire.abort()

    def _next(self) -> Part | None:
        # The first part may have failed before there were ranges to go on with.
        if self._owner.ranges is None or self._owner.surplus(self):
            return None
        return self._window.claim(self, alone=self._owner.alone)

    def _fetch(self, part: Part, answer: Answer | None) -> None:
        opening = answer is None
        try:
            if answer is None:
                answer, lead = self._open(part)
                self._window.prove(part, lead)
                opening = False
            while block := self._window.block(part):
                if not self._fill(part, block, answer):
                    self._window.end(part)
                    break
        except Exception as exc:  # noqa: BLE001 - carried over to the reader's thread and raised there
            self._let_go()
            self._owner.failed(part, exc, opening=opening)

    def _open(self, part: Part) -> tuple[Answer, Tail]:
        ranges = self._owner.ranges
        if ranges is None or part.end is None:
            raise ValueError("only a part of known length can be asked for")
        # What waits counts with the origin, too: it is taken before one more is opened.
        connection, self._connection = self._connection or ranges.waiting(), None
        if connection is not None and not connection.reusable:
            # The part before was cut off: what its answer would still bring is somebody else's.
            connection.close()
            connection = None
        return ask(connection, ranges.connect, partial(self._ask, ranges, part.at, part.end))

    def _ask(self, ranges: Ranges, first: int, end: int, connection: Connection) -> tuple[Answer, Tail]:
        self._connection = connection
        if self._window.closed:
            # Whoever closed it may have looked for a connection to abort before this one was there.
            raise DeadlineReached
        answer, lead = ranges.open(connection, first, end)
        self._connection = answer.connection
        return answer, lead

    def _fill(self, part: Part, block: Block, answer: Answer) -> bool:
        """Fill ``block``; False when the file has ended first."""
        while (before := block.filled) < len(block.view):
            try:
                if not answer.fill(block):
                    return False
            finally:
                self.received += block.filled - before
                self._window.came(part, block.filled - before)
        return True

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._window.closed:
            connection.close()
        else:
            self._owner.idle.give(connection)
