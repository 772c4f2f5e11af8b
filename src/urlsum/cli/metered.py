"""A source that reports the progress of its streams to a meter, and can abort them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from urlsum.cli.passing import PassingSource, PassingStream
from urlsum.origin.source import no_lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.cli.progress import FileMeter
    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint
    from urlsum.worker.source import Source, Stream


class Streams:
    """The open streams of a run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Stream] = set()

    def add(self, stream: Stream) -> None:
        """Count ``stream`` among the open ones."""
        with self._lock:
            self._open.add(stream)

    def remove(self, stream: Stream) -> None:
        """``stream`` is closed."""
        with self._lock:
            self._open.discard(stream)

    def abort(self) -> None:
        """Interrupt all reads that wait for an origin."""
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.abort()


class Metered(PassingSource):
    """A Source that reports the progress of its streams to the meter of one file."""

    def __init__(self, source: Source, meter: FileMeter, streams: Streams | None = None) -> None:
        super().__init__(source)
        self._meter = meter
        self._streams = streams or Streams()

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Stream:
        """Open the file. Raises the errors of the source."""
        stream = super().open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)
        return _MeteredStream(stream, self._meter, self._streams)


class _MeteredStream(PassingStream):
    def __init__(self, stream: Stream, meter: FileMeter, streams: Streams) -> None:
        super().__init__(stream)
        self._meter = meter
        self._streams = streams
        self._at = stream.offset
        streams.add(stream)
        meter.begin(self._at, self.size)

    def read(self) -> memoryview:
        piece = super().read()
        self._at += len(piece)
        self._meter.move(self._at, self.size)
        return piece

    def close(self) -> None:
        self._streams.remove(self._stream)
        self._meter.end()
        super().close()
