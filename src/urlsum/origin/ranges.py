"""Range requests for parts of a file whose version is known: an answer is used only if it is provably of that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum.errors import Changed, HttpFailed, OriginError
from urlsum.origin.answer import Answer
from urlsum.origin.asking import REDIRECTS
from urlsum.origin.extent import part
from urlsum.origin.fields import retry_after
from urlsum.origin.pace import Pace
from urlsum.origin.version import Tail, Version, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.asking import Asking
    from urlsum.origin.connection import Connection
    from urlsum.origin.head import Head
    from urlsum.origin.target import Target
    from urlsum.settings import Settings

OK = 200
PARTIAL = 206
# What is read again before each part: one record of TLS, 0.2 % of a part of 8 MiB. Two versions that differ in more
# than a few places differ here too.
LEAD_BYTES = 16_384
# What a signed URL says once its time is over, in the ways of S3, Google Cloud Storage and their imitators.
EXPIRED = frozenset({401, 403, 404, 410})


class NoRanges(OriginError):
    """The origin answers range requests with something that is of no use: one connection has to do."""


class Ranges:
    """Asks for parts of the file at ``url``, which was found at ``target``, in ``version``. Safe for many threads."""

    def __init__(
        self,
        url: str,
        target: Target,
        version: Version,
        *,
        asking: Asking,
        settings: Settings,
        deadline: float,
        wall_clock: Callable[[], float],
    ) -> None:
        self.asking = asking
        self._url = url
        self._target = target
        self._version = version
        self._settings = settings
        self._deadline = deadline
        self._wall_clock = wall_clock

    def waiting(self) -> Connection | None:
        """A connection to where the file was found that another file has left behind, None without one."""
        return self.asking.idle.take(self._target)

    def connect(self) -> Connection:
        """A new connection to where the file was found. Raises OriginError, DeadlineReached."""
        return self.asking.connect(self._target, self._deadline)

    def open(self, connection: Connection, first: int, end: int) -> tuple[Answer, Tail]:
        """The bytes from ``first`` up to ``end`` of the very version, asked for on ``connection``.

        The answer begins a little before ``first``, and what it has there must be what the parts before end with:
        that an ETag is the same is only what the origin says. Where the file was found may have been a signed URL of
        short life: the submitted one is then followed again, on another connection. Closes what it does not return.
        Raises NoRanges, Changed, HttpFailed, other OriginErrors, DeadlineReached.
        """
        begin = max(0, first - LEAD_BYTES)
        fields: tuple[tuple[str, str], ...] = (("Range", f"bytes={begin}-{end - 1}"),)
        if tag := self._version.if_range:
            fields += (("If-Range", tag),)
        target = self._target
        head = self.asking.ask_on(connection, target, fields, self._deadline)
        if head.status in EXPIRED or head.status in REDIRECTS:
            connection.close()
            connection, head = self.asking.follow(self._url, fields, self._deadline)
            self._target = head.target
        try:
            self._check(head, begin, end)
            if head.length is None:
                connection.expect(end - begin)
            settings = self._settings
            answer = Answer(
                connection,
                part(head, begin, self._version.size),
                size=self._version.size,
                max_bytes=settings.max_bytes,
                pace=Pace(settings.min_bytes_per_second, settings.min_rate_seconds),
            )
            return answer, _lead(answer, first)
        except BaseException:
            connection.close()
            raise

    def _check(self, head: Head, first: int, end: int) -> None:
        if head.status not in (OK, PARTIAL):
            wait = retry_after(head.get("retry-after"), date=head.get("date"), now=self._wall_clock())
            message = f"{head.target}: the origin answered a range request with status {head.status}"
            raise HttpFailed(head.status, message, retry_after=wait)
        extent = part(head, first, self._version.size) if head.status == PARTIAL else None
        now = Version.of(head, head.length if extent is None else extent.size)
        if difference := self._version.difference(now):
            raise Changed(f"{head.target}: {difference} while it was being read")
        if extent is None:
            raise NoRanges(f"{head.target}: the origin answers a range request with the whole file")
        if extent.end != end or not self._version.proven_by(now):
            raise NoRanges(f"{head.target}: the answer to a range request does not prove what it is")


def _lead(answer: Answer, first: int) -> Tail:
    view = memoryview(bytearray(first - answer.position))
    filled = 0
    while filled < len(view):
        filled += answer.read_into(view[filled:])
    return Tail(first, len(view), digest(view))
