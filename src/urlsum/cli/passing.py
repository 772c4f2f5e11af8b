"""A Source and a Stream that pass everything on to another one: the base of those that change or watch one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from urlsum.origin.source import no_lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint, Representation
    from urlsum.worker.source import Source, Stream


class PassingSource:
    """Passes all calls on to ``source``, and raises its errors."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Stream:
        """Open the file."""
        return self._source.open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)

    def recognize(
        self,
        url: str,
        wanted: str,
        fingerprint: str,
        *,
        deadline: Deadline,
        heartbeat: Callable[[], None] = no_lease,
    ) -> tuple[Representation, int] | None:
        """Recognize the file."""
        return self._source.recognize(url, wanted, fingerprint, deadline=deadline, heartbeat=heartbeat)


class PassingStream:
    """Passes all calls on to ``stream``."""

    def __init__(self, stream: Stream) -> None:
        self.offset = stream.offset
        self._stream = stream

    @property
    def size(self) -> int | None:
        """See the port, as for all of these."""
        return self._stream.size

    @property
    def validator(self) -> str:
        """The proof of version for the bytes read so far."""
        return self._stream.validator

    @property
    def reread(self) -> int:
        """How many bytes were read twice so far."""
        return self._stream.reread

    @property
    def representation(self) -> Representation:
        """The facts about the file."""
        return self._stream.representation

    @property
    def identity(self) -> str | None:
        """What identifies the version of the file."""
        return self._stream.identity

    @property
    def fingerprint(self) -> str | None:
        """The version with samples of its bytes."""
        return self._stream.fingerprint

    def read(self) -> memoryview:
        """The next bytes."""
        return self._stream.read()

    def abort(self) -> None:
        """Interrupt a read that waits."""
        self._stream.abort()

    def close(self) -> None:
        """Release the connections."""
        self._stream.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()
