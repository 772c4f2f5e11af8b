"""The body of one file: its bytes in order, in bounded memory, and an end only where one is proven."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from urlsum.errors import DeadlineReached, HttpFailed, Incomplete, OriginError, ProtocolViolated, RangesFailed
from urlsum.origin.http11.body import OnlyPart
from urlsum.origin.http11.stream import Block
from urlsum.origin.parallel.concurrency import ReadAheadPolicy, cpus
from urlsum.origin.parallel.ranges import PART_OVERLAP_BYTES
from urlsum.origin.representation.metadata import representation
from urlsum.origin.version.closing import came_at_once, confirm
from urlsum.origin.version.responses import Refused
from urlsum.origin.version.resume import LEAST_PART_BYTES, Resume, by_range
from urlsum.origin.version.version import MD5_BLOCK_BYTES, OPENING_BYTES, RESUME_OVERLAP_BYTES, Overlap, TailRecorder
from urlsum.task import Proof
from urlsum.text.remarks import UNCONFIRMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.parallel.prefetch import Prefetch
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.resume import Opened
    from urlsum.origin.version.version import Version
    from urlsum.task import Representation

# A limit of one request a second lets the two or three of a closing proof through with as many waits; a longer wait is
# the retry policy's.
SHORT_WAIT_SECONDS = 3.0
SHORT_WAITS = 3
# Of a part that the origin made shorter than it was asked for, this share is read again before the next one.
SHORT_PART_SHARE = 4


class Download:
    """The bytes of one version of one file, from ``offset`` on. Also a context manager that closes it.

    ``size`` is the total length of the file once its framing proves it: at once with a length, at the end with
    chunks. ``ahead`` makes what reads ahead of a long file.
    """

    def __init__(self, opened: Opened, file: FileClient, *, ahead: Callable[[Opened], Prefetch]) -> None:
        self.offset = opened.body.position
        self.reread = 0
        """How many bytes were read that had been read before, to prove the version or for want of ranges."""
        self._file = file
        self._ahead = ahead
        self._prefetch: Prefetch | None = None
        self._head = opened.head  # of the first response, which has every field (RFC 9110, 15.3.7)
        self._read_ahead: ReadAheadPolicy | None = None  # of a file that is long enough to ask
        self._recorder = TailRecorder()
        self._opening = bytearray()
        self._view = memoryview(b"")
        self._rest = memoryview(b"")  # fetched, but more than was wanted
        self._buffer = memoryview(b"")
        self._trouble: Exception | None = None  # what came behind the bytes that were read last
        self._confirmed = False
        self._open = self._ended = False
        self._stuck_at: int | None = None
        self._proof: Proof | None = None
        self._opened_at = file.client.clock()
        self._begin(opened)

    @property
    def size(self) -> int | None:
        """The total length of the file, None until it is proven."""
        return self._prefetch.size if self._prefetch else self._body.size

    @property
    def connections(self) -> int:
        """How many connections bring the file just now."""
        return self._prefetch.connections if self._prefetch else 1

    @property
    def validator(self) -> str:
        """The proof of version as of the bytes read so far, for the next checkpoint."""
        self._let_go()
        tail = self._recorder.tail(self._position)
        return replace(self._version, size=self.size, tail=tail, opening=self._beginning).dump()

    @property
    def proof(self) -> Proof:
        """What the proof of version rests on: the closing proof once it was made, before that the first response."""
        if self._confirmed and self._proof is None:
            return Proof.LENGTH
        return self._proof or self._version.proof(self._version)

    @property
    def representation(self) -> Representation:
        """What the first response says about the file, and the last one about its version."""
        self._let_go()
        known = representation(self._head, self._file.url, self.proof, bytes(self._opening))
        if self._opened.head is not self._head:
            known = representation(self._opened.head, self._file.url, self.proof).filled_from(known)
        if self._confirmed and self._proof is None:
            return replace(known, notes=(*known.notes, UNCONFIRMED))
        return known

    def read(self) -> memoryview:
        """The next bytes, valid until the next call; empty only at the proven end of one version of the file.

        Raises every OriginError and DeadlineReached.
        """
        view = self._read(self._file.client.tuning.block_bytes)
        if not view and not self._confirmed:
            self._confirm()
        return view

    def skip_to(self, position: int) -> None:
        """Read and drop everything before ``position``. Raises Changed when the file ends before it."""
        while self._position < position:
            if not self._read(min(position - self._position, self._file.client.tuning.block_bytes)):
                raise self._body.shorter()
        self.offset = self._position

    def close(self) -> None:
        """Let go of the connections; a second time does nothing."""
        if self._prefetch is not None:
            self._prefetch.close()
        elif self._open:
            self._file.client.pool.release(self._body.connection)
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _begin(self, opened: Opened) -> None:
        """Read on from ``opened``, whose next byte is the next of the file."""
        self._opened, self._body, self._version = opened, opened.body, opened.version
        self._position = self._began = opened.body.position
        self.reread += opened.reread
        self._recorder.record(memoryview(opened.overlap))
        self._open, self._ended = True, False

    def _read(self, most: int) -> memoryview:
        self._let_go()
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            self._go_on_after(trouble)
        if self._prefetch is None and self._reads_ahead:
            self._prefetch = self._ahead(self._opened)
            self._buffer = memoryview(b"")
        try:
            view = self._fetched(most) if self._prefetch else self._received(most)
        except OriginError as error:
            self._go_on_after(error)
            return self._read(most)
        self._position += len(view)
        self._view = view
        return view

    def _go_on_after(self, error: Exception) -> None:
        """Ask for the rest where a response has ended early by its own word. Raises ``error`` elsewhere."""
        if isinstance(error, RangesFailed):
            self._file.memory.read_alone(self._file.url)
        if (
            isinstance(error, Incomplete | ProtocolViolated)
            and self._position - self.offset < MD5_BLOCK_BYTES
            and self.offset
        ):
            self._file.memory.range_brought_nothing(self._file.url, self.offset)
        if not isinstance(error, OnlyPart) or self._position == self._stuck_at:
            raise error
        if (self._body.length or 0) < LEAST_PART_BYTES:
            raise RangesFailed(f"{error}; the server sends ranges of {self._body.length} bytes") from error
        self._stuck_at = self._position
        # The proof must not cost more than the part.
        overlap = min(PART_OVERLAP_BYTES, max((self._body.length or 0) // SHORT_PART_SHARE, 1))
        tail = self._recorder.last(self._position, overlap)
        version = replace(self._version, size=self.size)
        self.close()
        self._buffer = memoryview(b"")
        try:
            opened = by_range(self._file, Resume(self._position, version, tail))
        except Refused as refused:
            raise RangesFailed(str(refused)) from error
        # Who has once not kept to what was asked for is asked for one thing at a time.
        self._begin(replace(opened, ranged=False, overlap=b""))

    @property
    def _reads_ahead(self) -> bool:
        body = self._body
        # A borrowed end is proven by what comes after it, which only a plain reader looks at.
        if body.partial or body.end_assumed or self._position - self._began < self._file.client.tuning.inline_bytes:
            return False
        if body.size is not None and body.size - self._position <= self._file.client.tuning.inline_bytes:
            return False
        if self._read_ahead is None:
            self._read_ahead = ReadAheadPolicy(cpus())
        return self._read_ahead.should_read_ahead()

    def _fetched(self, most: int) -> memoryview:
        view = self._rest
        if not view:
            view = self._prefetch.read()  # type: ignore[union-attr] # there is one, as was just seen
            overlap = self._prefetch.overlap  # type: ignore[union-attr] # the same
            if overlap is not None and not self._recorder.ends_with(overlap):
                # One of two responses is of another version, or no range of what it says: nothing here tells which.
                self._file.memory.read_alone(self._file.url)
                raise self._body.mixed_versions(overlap.end)
        self._rest = view[most:]
        return view[:most]

    def _received(self, most: int) -> memoryview:
        left = None if self._body.size is None else self._body.size - self._position
        # One byte more, so that an origin which sends too much is found out; and never none, which would be the end.
        wanted = min(most, self._file.client.tuning.block_bytes if left is None else left + 1)
        if len(self._buffer) < wanted:
            self._buffer = memoryview(bytearray(wanted))
        block = Block(self._buffer[:wanted])
        try:
            while not block.filled and not self._ended:
                self._ended = not self._body.fill(block)
        except (OriginError, DeadlineReached) as exc:
            if not block.filled:
                raise
            self._trouble = exc
        return block.view[: block.filled]

    def _let_go(self) -> None:
        """Note the end of what was handed out last, before its buffer is used again."""
        self._recorder.record(self._view)
        if self._version.opening is None and self._position - len(self._view) == len(self._opening):
            self._opening += self._view[: OPENING_BYTES - len(self._opening)]
            if len(self._opening) == OPENING_BYTES:
                self._version = replace(self._version, opening=self._beginning)
        self._view = memoryview(b"")

    @property
    def _beginning(self) -> Overlap | None:
        count = len(self._opening)
        known = self._version.opening
        return known if known or not count else Overlap.of(bytes(self._opening), count)

    def _confirm(self) -> None:
        seconds = self._file.client.clock() - self._opened_at
        if self.offset == 0 and came_at_once(self._position, seconds, self._file.client.tuning.moment_seconds):
            self._proof = self._version.proof(self._version)
        else:
            if self._prefetch is not None:
                self._prefetch.finish()
            else:
                self.close()
            version = replace(self._version, size=self.size, opening=self._beginning)
            tail = self._recorder.last(self._position, RESUME_OVERLAP_BYTES)
            self._proof, count = self._confirmation(version, tail)
            self.reread += count
        self._confirmed = True

    def _confirmation(self, version: Version, tail: Overlap) -> tuple[Proof | None, int]:
        """The closing proof, after a moment where the origin asks for one: it limits how often it is asked."""
        for _ in range(SHORT_WAITS):
            try:
                return confirm(self._file, version, tail)
            except HttpFailed as error:
                wait = error.retry_after
                left = self._file.deadline - self._file.client.clock()
                if wait is None or not wait <= min(SHORT_WAIT_SECONDS, left):
                    raise
                time.sleep(wait)
        return confirm(self._file, version, tail)
