"""The download of one file: its bytes in order, in bounded memory, and an end only where one is proven."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from msgspec import structs

from urlsum.errors import DeadlineReached, Incomplete, OriginError, ProtocolViolated, RangesFailed
from urlsum.origin.http11.body import OnlyPart
from urlsum.origin.http11.stream import Block
from urlsum.origin.known import identity
from urlsum.origin.parallel.concurrency import ReadAheadPolicy, cpus
from urlsum.origin.parallel.ranges import PART_OVERLAP_BYTES
from urlsum.origin.representation.metadata import representation
from urlsum.origin.version.closing import arrived_at_once, confirm
from urlsum.origin.version.evidence import Evidence
from urlsum.origin.version.parts import MIN_PART_BYTES
from urlsum.origin.version.refusals import RangeRefused
from urlsum.origin.version.resume import ResumePoint, resume_by_range
from urlsum.origin.version.version import MD5_BLOCK_BYTES, RESUME_OVERLAP_BYTES
from urlsum.task import Proof
from urlsum.text.remarks import UNCONFIRMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.parallel.prefetch import Prefetch
    from urlsum.origin.version.file_client import FileClient
    from urlsum.origin.version.resume import Opened
    from urlsum.task import Representation

# If the origin sends a shorter part than requested, the next one overlaps it by at most this fraction, a quarter: the
# proof must not cost more than the part.
SHORT_PART_DIVISOR = 4
# A slow origin needs 40 s for a whole tail, longer than a slice while others wait. So the tail is what it sends in this
# time, a fifth of HAND_OVER_SECONDS, and at least what no two versions of a file are likely to share.
TAIL_SECONDS = 2.0
LEAST_TAIL_BYTES = 4096


class Download:
    """The bytes of one version of one file, from ``offset`` on. Also a context manager that closes it.

    ``size`` is the total length of the file in bytes once the framing proves it: at once with a length, at the end with
    chunks. ``prefetch`` starts the read-ahead of a long file, of which some bytes have
    been read since a time.
    """

    def __init__(self, opened: Opened, file: FileClient, *, prefetch: Callable[[Opened, float, int], Prefetch]) -> None:
        self.offset = opened.body.position
        self.reread = 0
        """How many bytes were read again, to prove the version or because the origin serves no ranges."""
        self._file = file
        self._start_prefetch = prefetch
        self._prefetch: Prefetch | None = None
        self._head = opened.head  # of the first response, which has every field (RFC 9110, 15.3.7)
        self._read_ahead: ReadAheadPolicy | None = None  # only for a file beyond ``inline_bytes``
        self._evidence = Evidence(opened.version, first=self.offset, end=opened.body.size)
        self._view = memoryview(b"")
        self._leftover = memoryview(b"")  # prefetched, but beyond the limit of the last read
        self._buffer = memoryview(b"")
        self._pending_error: Exception | None = None  # followed the bytes that were returned last
        self._confirmed = False
        self._open = self._ended = False
        self._stuck_at: int | None = None
        self._proof: Proof | None = None
        self._opened_at, self._opened_from = file.client.clock(), self.offset
        self._begin(opened)

    @property
    def size(self) -> int | None:
        """The total length of the file in bytes, None until it is proven."""
        return self._prefetch.size if self._prefetch else self._body.size

    @property
    def connections(self) -> int:
        """The number of connections that read the file now."""
        return self._prefetch.connections if self._prefetch else 1

    @property
    def validator(self) -> str:
        """The proof of version for the next checkpoint, as of the bytes read so far."""
        self._record_view()
        return self._evidence.checkpoint(self._position, self.size, self._affordable_tail)

    @property
    def proof(self) -> Proof:
        """The validator that proves the version: by the closing proof once made, until then by the first response."""
        if self._confirmed and self._proof is None:
            return Proof.LENGTH
        return self._proof or self._first_proof

    @property
    def representation(self) -> Representation:
        """The metadata of the first response, with the validators of the latest one."""
        self._record_view()
        facts = representation(self._head, self._file.url, self.proof, self._evidence.opening)
        if self._opened.head is not self._head:
            facts = representation(self._opened.head, self._file.url, self.proof).filled_from(facts)
        if self._confirmed and self._proof is None:
            return replace(facts, notes=(*facts.notes, UNCONFIRMED))
        return facts

    @property
    def _affordable_tail(self) -> int:
        """As many bytes as the origin sends in TAIL_SECONDS, within the bounds of a tail."""
        seconds = self._file.client.clock() - self._opened_at
        if seconds < TAIL_SECONDS / 4:
            return RESUME_OVERLAP_BYTES  # too short a time to tell
        return max(LEAST_TAIL_BYTES, int((self._position - self._opened_from) / seconds * TAIL_SECONDS))

    @property
    def identity(self) -> str | None:
        """What identifies the version in the whole response (``urlsum.origin.known``); None if nothing does."""
        if self.offset or self._opened.head.chunked:
            return None
        return identity(self._file, self._head, self._evidence.version)

    @property
    def fingerprint(self) -> str | None:
        """The version with samples of its bytes, for ``HttpSource.recognize``.

        None before the proven end of the file, and if the closing proof was weaker than the validators promised.
        """
        version, size = self._evidence.version, self.size
        if size is None or not self._confirmed or self._proof is not version.strongest:
            return None
        self._record_view()
        return self._evidence.fingerprint(size)

    def read(self) -> memoryview:
        """The next bytes, valid until the next call; empty only at the proven end of one version of the file.

        Raises every OriginError and DeadlineReached.
        """
        try:
            view = self._read(self._file.client.tuning.block_bytes)
            if not view and not self._confirmed:
                self._confirm()
        except OriginError as exc:
            self._file.locate(exc)
            raise
        return view

    def skip_to(self, position: int) -> None:
        """Read and drop everything before ``position``. Raises Changed when the file ends before it."""
        while self._position < position:
            if not self._read(min(position - self._position, self._file.client.tuning.block_bytes)):
                raise self._body.shorter()
        self.offset = self._position

    def abort(self) -> None:
        """Interrupt a read that waits for the origin, from any thread; the bytes before it stay valid."""
        if self._prefetch is None:  # which checks the deadline often
            self._body.connection.stream.abort()

    def close(self) -> None:
        """Release the connections. Idempotent."""
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
        """Continue with ``opened``, whose next byte is the next of the file."""
        self._opened, self._body = opened, opened.body
        self._position = self._response_start = opened.body.position
        self._response_at = self._file.client.clock()
        self.reread += opened.reread
        self._evidence.begin(opened.version, opened.overlap)
        self._open, self._ended = True, False

    def _read(self, limit: int) -> memoryview:
        self._record_view()
        if self._pending_error is not None:
            error, self._pending_error = self._pending_error, None
            self._recover_from(error)
        if self._prefetch is None and self._should_prefetch:
            self._prefetch = self._start_prefetch(
                self._opened, self._response_at, self._position - self._response_start
            )
            self._buffer = memoryview(b"")
        try:
            view = self._read_prefetched(limit) if self._prefetch else self._read_direct(limit)
        except OriginError as exc:
            self._recover_from(exc)
            return self._read(limit)
        self._position += len(view)
        self._view = view
        return view

    def _recover_from(self, error: Exception) -> None:
        """Request the rest if a response ended where it declared its end. Raises ``error`` in every other case."""
        if isinstance(error, RangesFailed):
            self._file.memory.mark_sequential(self._file.url)
        if (
            isinstance(error, Incomplete | ProtocolViolated)
            and self._position - self.offset < MD5_BLOCK_BYTES
            and self.offset
        ):
            self._file.memory.mark_stuck(self._file.url, self.offset)
        if not isinstance(error, OnlyPart) or self._position == self._stuck_at:
            raise error
        if (self._body.length or 0) < MIN_PART_BYTES:
            raise RangesFailed(f"{error}; the server sends ranges of only {self._body.length} bytes") from error
        self._stuck_at = self._position
        overlap = min(PART_OVERLAP_BYTES, max((self._body.length or 0) // SHORT_PART_DIVISOR, 1))
        tail = self._evidence.tail.last(self._position, overlap)
        version = structs.replace(self._evidence.version, size=self.size)
        self.close()
        self._buffer = memoryview(b"")
        try:
            opened = resume_by_range(self._file, ResumePoint(self._position, version, tail))
        except RangeRefused as refused:
            raise RangesFailed(str(refused)) from error
        # An origin that shortened one range gets no parallel range requests.
        self._begin(structs.replace(opened, ranged=False, overlap=b""))

    @property
    def _should_prefetch(self) -> bool:
        body = self._body
        # An assumed end holds only if no byte follows it, which only the direct reader checks.
        if (
            body.partial
            or body.end_assumed
            or self._position - self._response_start < self._file.client.tuning.inline_bytes
        ):
            return False
        if body.size is not None and body.size - self._position <= self._file.client.tuning.inline_bytes:
            return False
        if self._read_ahead is None:
            self._read_ahead = ReadAheadPolicy(cpus())
        return self._read_ahead.should_read_ahead()

    def _read_prefetched(self, limit: int) -> memoryview:
        view = self._leftover
        if not view:
            view = self._prefetch.read()  # type: ignore[union-attr] # the caller has checked it
            overlap = self._prefetch.overlap  # type: ignore[union-attr] # the same
            if overlap is not None and not self._evidence.tail.ends_with(overlap):
                # One of two responses is of another version, or not the range that it declares; nothing shows which.
                self._file.memory.mark_sequential(self._file.url)
                raise self._body.mixed_versions(overlap.end)
        self._leftover = view[limit:]
        return view[:limit]

    def _read_direct(self, limit: int) -> memoryview:
        remaining = None if self._body.size is None else self._body.size - self._position
        # One byte more exposes an origin that sends too much. Never zero: an empty view would mean the end.
        count = min(limit, self._file.client.tuning.block_bytes if remaining is None else remaining + 1)
        if len(self._buffer) < count:
            self._buffer = memoryview(bytearray(count))
        block = Block(self._buffer[:count])
        try:
            while not block.filled and not self._ended:
                self._ended = not self._body.fill(block)
        except (OriginError, DeadlineReached) as exc:
            if not block.filled:
                raise
            self._pending_error = exc
        return block.view[: block.filled]

    def _record_view(self) -> None:
        """Record the view that was returned last, before its buffer is reused."""
        self._evidence.record(self._view, self._position)
        self._view = memoryview(b"")

    def _confirm(self) -> None:
        seconds = self._file.client.clock() - self._opened_at
        if self.offset == 0 and arrived_at_once(self._position, seconds, self._file.client.tuning.moment_seconds):
            self._proof = self._first_proof
        else:
            if self._prefetch is not None:
                self._prefetch.finish()
            else:
                self.close()
            version = structs.replace(self._evidence.version, size=self.size)
            self._proof, count = confirm(self._file, version, self._evidence.samples(self._position))
            self.reread += count
        self._confirmed = True

    @property
    def _first_proof(self) -> Proof:
        return self._evidence.version.proof(self._evidence.version)
