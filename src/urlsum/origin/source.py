"""Opens one file, at its first byte or at a checkpoint, as bytes that provably belong to one version.

HEAD is never sent: its response differs from that of GET too often.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from urlsum.origin.download import Download
from urlsum.origin.http11.client import Client
from urlsum.origin.parallel.buffers import BLOCKS_PER_CONNECTION, RESERVE_BLOCKS, Budget, Buffers
from urlsum.origin.parallel.concurrency import ConcurrencyController
from urlsum.origin.parallel.prefetch import Prefetch
from urlsum.origin.parallel.ranges import Ranges
from urlsum.origin.parallel.reassembly import ReassemblyBuffer
from urlsum.origin.tuning import DEFAULTS
from urlsum.origin.version.file_client import FileClient, RangeMemory
from urlsum.origin.version.resume import ResumePoint, begin, resume_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.tuning import Tuning
    from urlsum.origin.version.resume import Opened
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint

__all__ = ["Download", "HttpSource", "no_lease"]


def no_lease() -> None:
    """The heartbeat of a caller that holds no lease."""


class HttpSource:
    """Opens files over HTTP/1.1. Thread-safe; all downloads share its connection pool and its buffers.

    ``clock`` is monotonic and the clock of all deadlines. ``wall_clock`` (epoch seconds) only evaluates a Retry-After
    date of a response without Date.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tuning: Tuning = DEFAULTS,
        controller: Callable[..., ConcurrencyController] = ConcurrencyController,
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._tuning = tuning
        self._controller = controller
        self._client = Client(settings, guard, tuning, clock=clock)
        # One file may use all of it; where several share it, each can continue with its reserve alone.
        self._budget = Budget(settings.connections_per_origin * BLOCKS_PER_CONNECTION - RESERVE_BLOCKS)
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
        file = FileClient(
            url,
            client=self._client,
            settings=self._settings,
            deadline=deadline,
            wall_clock=self._wall_clock,
            heartbeat=heartbeat,
            memory=self._memory,
        )
        opened = begin(file) if point is None else resume_at(file, point)

        def prefetch(opened: Opened) -> Prefetch:
            return self._prefetch(file, opened)

        return Download(opened, file, prefetch=prefetch)

    def _prefetch(self, file: FileClient, opened: Opened) -> Prefetch:
        settings, clock = self._settings, self._client.clock
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
            self._controller(settings.connections_per_origin, latency=body.connection.latency, now=clock()),
            deadline=file.deadline,
            silence=settings.connect_timeout + settings.read_timeout,
            client=self._client,
        )
