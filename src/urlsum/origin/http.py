"""One origin: redirects, status, the proof of version, and the body.

HEAD is never asked: what an origin says there and what it does on GET differ too often.
"""

from __future__ import annotations

import string
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from urlsum import __version__
from urlsum.errors import (
    BadRedirect,
    Changed,
    DeadlineReached,
    HttpFailed,
    InvalidUrl,
    ProtocolViolated,
    TimedOut,
)
from urlsum.origin.body import Body
from urlsum.origin.connection import connect
from urlsum.origin.extent import part, whole
from urlsum.origin.fields import retry_after
from urlsum.origin.pace import Pace
from urlsum.origin.version import Version
from urlsum.text import human_bytes, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.connection import Connection
    from urlsum.origin.guard import Guard
    from urlsum.origin.head import Head
    from urlsum.origin.target import Target
    from urlsum.origin.version import Tail
    from urlsum.settings import Settings
    from urlsum.task import Checkpoint

    Fields = tuple[tuple[str, str], ...]

__all__ = ["Body", "Origin"]

OK = 200
PARTIAL = 206
NOT_MODIFIED = 304
RANGE_NOT_SATISFIABLE = 416
# Followed with GET: what was asked was a GET (RFC 9110, 15.4). 300 leaves the choice to a person, 304 has no body,
# 305 and 306 are dead.
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class _Resume:
    """Where to go on, of which version.

    Asked for is not ``offset`` but the beginning of the tail before it: whatever the origin says of the version,
    the bytes must bear it out. The answer is never empty either, so no 416 for a checkpoint at the very end.
    """

    offset: int
    version: Version
    tail: Tail

    @property
    def first(self) -> int:
        return self.tail.start

    @classmethod
    def of(cls, checkpoint: Checkpoint | None) -> _Resume | None:
        """Raises Changed when the checkpoint proves nothing."""
        if checkpoint is None or checkpoint.offset == 0:
            return None
        version = Version.load(checkpoint.validator)
        tail = version.tail
        if tail is None or tail.end > checkpoint.offset:
            raise Changed("the checkpoint proves nothing about the bytes before its offset; the file is read again")
        return cls(checkpoint.offset, version, tail)


class Origin:
    """Opens files over HTTP/1.1, one connection per file.

    ``clock`` is monotonic and the one that deadlines are on; ``wall_clock`` (epoch seconds) only reads a
    Retry-After date of an answer without Date. No proxies, no .netrc, no cookies, no credentials.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._clock = clock
        self._wall_clock = wall_clock
        self._fields: Fields = (
            ("User-Agent", user_agent(settings.public_url)),
            ("Accept", "*/*"),
            # The file's own bytes are hashed; a coding made on the way would change them.
            ("Accept-Encoding", "identity"),
        )

    def open(self, url: str, *, deadline: float, resume: Checkpoint | None = None) -> Body:
        """The file at ``url``, from the start, or from ``resume`` on if it is provably the same version.

        Raises InvalidUrl, every OriginError (Changed when ``resume`` cannot be gone on from), and DeadlineReached.
        """
        going_on = _Resume.of(resume)
        ranged = going_on is not None
        connection, head = self._final(url, _range_fields(going_on), deadline)
        if head.status == RANGE_NOT_SATISFIABLE and ranged:
            # Either the file is shorter now or the origin cannot do ranges: the whole file tells.
            connection.close()
            connection, head = self._final(url, (), deadline)
            ranged = False
        try:
            self._check_status(head, ranged=ranged)
            return self._body(connection, head, going_on)
        except BaseException:
            connection.close()
            raise

    def _final(self, url: str, range_fields: Fields, deadline: float) -> tuple[Connection, Head]:
        """The first answer that is no redirect.

        All redirects together take at most CONNECT_TIMEOUT + READ_TIMEOUT: no chain of slow origins may hold a
        worker longer than one of them can, nor outlast its lease.
        """
        settings = self._settings
        limit = self._clock() + settings.connect_timeout + settings.read_timeout
        fields = (*self._fields, *range_fields)
        target = self._guard.inspect(url)
        seen = {target.url}
        try:
            while True:
                connection = connect(target, self._guard, settings, deadline=min(deadline, limit), clock=self._clock)
                try:
                    head = connection.get(fields)
                    if head.status not in REDIRECTS:
                        connection.wire.deadline = deadline
                        return connection, head
                    target = self._redirected(head, target)
                except BaseException:
                    connection.close()
                    raise
                connection.close()
                if target.url in seen:
                    raise BadRedirect(f"{shown_url(url)}: the redirects go round in a circle at {target}")
                if len(seen) > settings.max_redirects:
                    raise BadRedirect(f"{shown_url(url)}: more than {settings.max_redirects} redirects")
                seen.add(target.url)
        except DeadlineReached as exc:
            if deadline <= limit:
                raise
            seconds = settings.connect_timeout + settings.read_timeout
            raise TimedOut(f"{target}: no answer within {seconds:g} s") from exc

    def _redirected(self, head: Head, target: Target) -> Target:
        location = head.get("location")
        if not location:
            raise BadRedirect(f"{target}: status {head.status} without a Location")
        try:
            following = self._guard.inspect(target.resolve(location))
        except InvalidUrl as exc:
            raise BadRedirect(f"{target}: redirects to something that is no URL to follow: {exc}") from exc
        if target.secure and not following.secure:
            # Who gave an https URL was promised that nobody on the way can change the bytes; a digest of bytes
            # that anybody can change would be that promise broken in silence.
            raise BadRedirect(f"{target}: redirects from https to {following}, which anybody on the way could change")
        return following

    def _check_status(self, head: Head, *, ranged: bool) -> None:
        if head.status == OK or (head.status == PARTIAL and ranged):
            return
        if head.status == PARTIAL:
            # RFC 9110, 15.3.7: the answer to a range request only.
            raise ProtocolViolated(f"{head.target}: a part of the file was sent (206) where all of it was asked for")
        if head.status == NOT_MODIFIED:
            # RFC 9110, 15.4.5: the answer to a conditional request only.
            raise ProtocolViolated(f"{head.target}: status 304 to a request without a condition")
        # 204 and 205 say that there is no file, 203 that a proxy changed it, 201 and 202 that it is somewhere or
        # sometime else, and 600 and above is to be taken for a server error (RFC 9110, 15).
        wait = retry_after(head.get("retry-after"), date=head.get("date"), now=self._wall_clock())
        raise HttpFailed(head.status, f"{head.target}: the origin answered with status {head.status}", retry_after=wait)

    def _body(self, connection: Connection, head: Head, resume: _Resume | None) -> Body:
        known = resume.version if resume else Version()
        asked = resume if head.status == PARTIAL else None
        extent = part(head, asked.first, known.size) if asked else whole(head, known.size)
        now = Version.of(head, extent.size)
        if difference := known.difference(now):
            raise Changed(f"{head.target}: {difference}{_after(resume)}")
        if head.length is None and extent.end is not None:
            connection.expect(extent.end - extent.first)
        settings = self._settings
        body = Body(
            connection,
            known.taken_up(now),
            extent,
            max_bytes=settings.max_bytes,
            pace=Pace(settings.min_bytes_per_second, settings.min_rate_seconds),
        )
        if resume is not None:
            if not body.proves(resume.tail):
                raise Changed(f"{head.target}: the last bytes that were hashed are others now{_after(resume)}")
            body.skip_to(resume.offset)
        return body


def user_agent(public_url: str | None) -> str:
    """Who asks and, if PUBLIC_URL is set, where to complain (RFC 9110, 10.1.5)."""
    if public_url is None:
        return f"urlsum/{__version__}"
    return f"urlsum/{__version__} (+{quote(public_url, safe=string.punctuation)})"


def _range_fields(resume: _Resume | None) -> Fields:
    if resume is None:
        return ()
    asked = ("Range", f"bytes={resume.first}-")
    tag = resume.version.if_range
    return (asked, ("If-Range", tag)) if tag else (asked,)


def _after(resume: _Resume | None) -> str:
    return f"; {human_bytes(resume.offset)} had been hashed" if resume else ""
