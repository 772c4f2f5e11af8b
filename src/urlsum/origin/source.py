"""Opens one file, at its first byte or at a checkpoint, as bytes that provably belong to one version.

HEAD is never sent: its response differs from that of GET too often.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from urlsum.errors import OriginError
from urlsum.origin.download import Download
from urlsum.origin.http11.client import Client
from urlsum.origin.known import recognize
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION, RESERVE_BLOCKS, Budget, Buffers
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.parallel.prefetch import Prefetch
from urlsum.origin.parallel.ranges import Ranges
from urlsum.origin.parallel.reassembly import ReassemblyBuffer
from urlsum.origin.spots import read_spots
from urlsum.origin.tuning import DEFAULTS
from urlsum.origin.version.file_client import FileClient, RangeMemory
from urlsum.origin.version.resume import ResumePoint, begin, resume_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.http11.access import Access
    from urlsum.origin.http11.leases import PlaceLeases
    from urlsum.origin.spots import Choose
    from urlsum.origin.tuning import Tuning
    from urlsum.origin.version.resume import Opened
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint, Representation

__all__ = ["Download", "HttpSource", "no_lease"]

# Where many worker processes share the memory, a connection still has one block that fills and one that is complete.
LEAST_BLOCKS = 2


def no_lease() -> None:
    """The heartbeat of a caller that holds no lease."""


class HttpSource:
    """Opens files over HTTP/1.1. Thread-safe; all downloads share its connection pool and its buffers.

    ``leases`` share the limits of each origin with other processes. ``access`` has the command's own fields and
    proxies. ``clock`` is monotonic and the clock of all
    deadlines. ``wall_clock`` (epoch seconds) only evaluates a Retry-After date of a response without Date.
    """

    def __init__(  # noqa: PLR0913 - collaborators, all by name
        self,
        settings: Settings,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tuning: Tuning = DEFAULTS,
        controller: Callable[..., ConcurrencyController] = ConcurrencyController,
        leases: PlaceLeases | None = None,
        access: Access | None = None,
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._tuning = tuning
        self._controller = controller
        self._leases = leases
        self._client = Client(settings, guard, tuning, clock=clock, shares=leases, access=access)
        # One file may use all of it; where several share it, each can continue with its reserve alone.
        blocks = max(BLOCKS_PER_CONNECTION // tuning.processes, LEAST_BLOCKS) * settings.connections_per_origin
        self._budget = Budget(blocks - RESERVE_BLOCKS)
        self._memory = RangeMemory()
        # There is no close(): the garbage collector ends the idle connections.
        weakref.finalize(self, self._client.pool.close)

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Download:
        """The file at ``url``, from its first byte, or from ``resume`` on if it is provably the same version.

        ``heartbeat`` is called often while no new bytes arrive: re-reading the bytes before ``resume`` may take hours.
        Raises InvalidUrl, every OriginError (Changed when the download cannot be resumed), and DeadlineReached.
        """
        point = ResumePoint.of(resume)
        file = self._file(url, deadline, heartbeat)
        try:
            opened = begin(file) if point is None else resume_at(file, point)
        except OriginError as exc:
            file.locate(exc)
            raise

        def prefetch(opened: Opened, since: float, received: int) -> Prefetch:
            return self._prefetch(file, opened, since, received)

        return Download(opened, file, prefetch=prefetch)

    def recognize(
        self,
        url: str,
        wanted: str,
        fingerprint: str,
        *,
        deadline: Deadline,
        heartbeat: Callable[[], None] = no_lease,
    ) -> tuple[Representation, int] | None:
        """The metadata of the file if it is still the version ``wanted``, and how many bytes were read for that.

        ``wanted`` is a ``Download.identity``, ``fingerprint`` that of its whole reading. None if the origin serves no
        ranges that prove it. Raises Changed if it is another version now, OriginErrors that may pass, DeadlineReached.
        """
        file = self._file(url, deadline, heartbeat)
        try:
            return recognize(file, wanted, fingerprint)
        except OriginError as exc:
            file.locate(exc)
            raise

    def spots(self, url: str, choose: Choose, *, deadline: Deadline) -> Iterator[tuple[int, memoryview]]:
        """Offset and bytes of the places that ``choose`` returns for the size of the file; fewer without ranges.

        Raises InvalidUrl, OriginError, DeadlineReached.
        """
        return read_spots(self._file(url, deadline, no_lease), choose)

    def rest(self) -> None:
        """Close idle connections and hand back all leases: before this process ends, or is frozen."""
        self._client.pool.clear()
        if self._leases is not None:
            self._leases.hand_back()

    def _file(self, url: str, deadline: Deadline, heartbeat: Callable[[], None]) -> FileClient:
        return FileClient(
            url,
            client=self._client,
            settings=self._settings,
            deadline=deadline,
            wall_clock=self._wall_clock,
            heartbeat=heartbeat,
            memory=self._memory,
        )

    def _prefetch(self, file: FileClient, opened: Opened, since: float, received: int) -> Prefetch:
        settings = self._settings
        body, version = opened.body, opened.version
        # A chunked body proves its length only at its end.
        size = None if opened.head.chunked else body.size
        proven = size is not None and size == version.size and version.is_distinguishable
        # An origin that sent the whole file in response to a range request would do so again.
        ranged = opened.ranged and not file.memory.is_sequential(file.url)
        parallel = proven and ranged and settings.connections_per_origin > 1
        return Prefetch(
            body,
            ReassemblyBuffer(body.position, size, Buffers(self._budget, self._tuning.block_bytes), self._tuning),
            Ranges(file, opened.head.target, version) if parallel else None,
            self._controller(
                settings.connections_per_origin,
                latency=body.connection.latency,
                now=since,
                received=received,
                waits_since=self._client.clock(),
            ),
            deadline=file.deadline,
            silence=settings.connect_timeout + settings.read_timeout,
            client=self._client,
        )
