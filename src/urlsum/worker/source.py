"""The port to the files: a Source opens a URL, a Stream delivers the bytes of one version of its file in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint, Representation


class Stream(Protocol):
    """The bytes of one version of one file, in order: ``urlsum.origin.download.Download``, or a synthetic one in tests.

    ``offset`` is the position of the first byte in the file.
    """

    offset: int

    @property
    def reread(self) -> int:
        """How many bytes were read twice so far, to prove the version or because the origin has no ranges."""
        ...

    @property
    def size(self) -> int | None:
        """The total length in bytes; None as long as it is not proven."""
        ...

    @property
    def validator(self) -> str:
        """The proof of version for the bytes read so far, kept in the checkpoint: at most some hundred characters."""
        ...

    @property
    def representation(self) -> Representation:
        """The facts about the file in the responses so far."""
        ...

    @property
    def identity(self) -> str | None:
        """What identifies the version of the file, in 64 hexadecimal digits; None if its validators prove too little.

        Of a stream from the first byte, as soon as it is open.
        """
        ...

    @property
    def fingerprint(self) -> str | None:
        """At the end of the file: the version with samples of its bytes, for ``Source.recognize``; None if unproven."""
        ...

    def read(self) -> memoryview:
        """The next bytes, valid until the next call; empty only at the proven end of one version.

        Raises OriginError, and DeadlineReached if the deadline came first.
        """
        ...

    def abort(self) -> None:
        """Interrupt a read that waits, from any thread; ``read`` then raises after the bytes that have come."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Source(Protocol):
    """Opens files: ``urlsum.origin.source.HttpSource``, or a synthetic one in tests."""

    def open(
        self, url: str, *, deadline: Deadline, resume: Checkpoint | None = None, heartbeat: Callable[[], None] = ...
    ) -> Stream:
        """The file from ``resume`` on; ``heartbeat`` is called often while no new bytes arrive.

        Raises Changed if it is not provably the same version, other OriginErrors, and DeadlineReached.
        """
        ...

    def recognize(
        self, url: str, wanted: str, fingerprint: str, *, deadline: Deadline, heartbeat: Callable[[], None] = ...
    ) -> tuple[Representation, int] | None:
        """The facts about the file if it is still the version ``wanted``, an identity, and the bytes read for that.

        None if the origin does not let that be proven without reading the file. Raises Changed if it is another
        version now, OriginErrors that may pass, and DeadlineReached.
        """
        ...
