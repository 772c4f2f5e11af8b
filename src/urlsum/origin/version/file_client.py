"""Sends all requests for one file: they share its URL, cookies, deadline and limits."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from urlsum.errors import HttpFailed, ProtocolViolated
from urlsum.origin.http11.body import ResponseBody
from urlsum.origin.http11.cookies import Cookies
from urlsum.origin.http11.low_speed_limit import LowSpeedLimit
from urlsum.origin.http11.phrases import PREPARING
from urlsum.origin.http11.redirects import REDIRECTS
from urlsum.origin.http11.response import content_range, declared_total
from urlsum.origin.http11.waits import longest_wait
from urlsum.text.format import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.errors import OriginError
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.client import Client, Field, Fields
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.response import ByteRange, ResponseHead
    from urlsum.settings import Settings

    Get = Callable[..., tuple[Connection, ResponseHead]]

OK = 200
ACCEPTED = 202
PARTIAL = 206
NOT_MODIFIED = 304
# Such origins are rare, and forgetting one only costs a try.
MOST_REMEMBERED = 100
# The statuses of an expired signed URL at S3, Google Cloud Storage and their imitators.
EXPIRED = frozenset({401, 403, 404, 410})


class RangeMemory:
    """Remembers URLs whose ranges proved useless, for the next try in this process. Thread-safe.

    Another process has to find out again.
    """

    def __init__(self) -> None:
        self._sequential: dict[str, None] = {}
        self._stuck: dict[str, int] = {}

    def mark_sequential(self, url: str) -> None:
        """Remember that parallel ranges of ``url`` were refused, or mixed versions."""
        self._sequential[url] = None
        _bound(self._sequential)

    def is_sequential(self, url: str) -> bool:
        """Whether ``url`` must be read over one connection."""
        return url in self._sequential

    def mark_stuck(self, url: str, offset: int) -> None:
        """Remember that a range of ``url`` from ``offset`` on brought no new block of MD5."""
        self._stuck[url] = offset
        _bound(self._stuck)

    def pop_stuck(self, url: str, offset: int) -> bool:
        """Whether a range from ``offset`` on brought nothing the last time; forgets it, so that the next try asks."""
        return self._stuck.pop(url, None) == offset


def _own_phrase(head: ResponseHead) -> bytes:
    """The reason phrase, unless it only repeats the status (RFC 9110, 15)."""
    usual = HTTPStatus(head.status).phrase if head.status in HTTPStatus.__members__.values() else ""
    return b"" if head.reason.lower() == usual.lower().encode("ascii") else head.reason


def _bound(urls: dict[str, Any]) -> None:
    while len(urls) > MOST_REMEMBERED:
        urls.pop(next(iter(urls)), None)


class FileClient:
    """Sends GETs for the file at ``url``; ``target`` is where the last redirects ended. Thread-safe.

    ``heartbeat`` is called in the reader's thread, before requests and while bytes are skipped, to renew a lease.
    """

    def __init__(
        self,
        url: str,
        *,
        client: Client,
        settings: Settings,
        deadline: Deadline,
        wall_clock: Callable[[], float],
        heartbeat: Callable[[], None],
        memory: RangeMemory,
    ) -> None:
        self.url = url
        self.client = client
        self.settings = settings
        self.deadline = deadline
        self.heartbeat = heartbeat
        self.target: Target | None = None
        self.memory = memory
        self.ranges_lie = False
        """Whether a range has brought other bytes than the whole file has there."""
        self._wall_clock = wall_clock
        self._cookies = Cookies()

    @property
    def has_cookies(self) -> bool:
        """Whether any response so far has set a cookie."""
        return bool(self._cookies)

    def get(self, *fields: Field) -> tuple[Connection, ResponseHead]:
        """The response to a GET of the submitted URL. Raises the errors of ``Client.get``."""
        self.heartbeat()
        return self._follow_redirects(fields, self.heartbeat)

    def get_at_target(self, *fields: Field) -> tuple[Connection, ResponseHead]:
        """The response to a GET of ``target``, over a pooled connection if there is one.

        Before the first response this is a GET of the submitted URL. Raises the errors of ``Client.get``.
        """
        if self.target is None:
            return self.get(*fields)
        self.heartbeat()
        connection, head = self.client.send(
            self.target, self.fields(self.target, fields), self.deadline, self.heartbeat
        )
        return self._refollowed_if_expired(connection, head, fields, self.heartbeat)

    def get_on(self, connection: Connection, target: Target, *fields: Field) -> tuple[Connection, ResponseHead]:
        """The response to a GET of ``target`` on ``connection``, which is closed if redirects are followed again.

        Raises the errors of ``Client.get``.
        """
        head = self.client.send_on(connection, target, self.fields(target, fields), self.deadline)
        # Any thread may call this, and only the reader's may renew the lease.
        return self._refollowed_if_expired(connection, head, fields, lambda: None)

    def fields(self, target: Target, fields: Fields) -> Fields:
        """``fields`` and the cookies that ``target`` set earlier."""
        return (*fields, *self._cookies.fields(target))

    def body(
        self, connection: Connection, head: ResponseHead, byte_range: ByteRange, *, size: int | None
    ) -> ResponseBody:
        """The body of a response with the bytes of ``byte_range``, of a file of ``size`` bytes. Raises TooLarge."""
        settings = self.settings
        if head.length is None and byte_range.length is not None:
            connection.expect(byte_range.length)
        low_speed_limit = LowSpeedLimit(settings.min_bytes_per_second, settings.min_rate_seconds)
        return ResponseBody(
            connection, byte_range, size=size, max_bytes=settings.max_bytes, low_speed_limit=low_speed_limit
        )

    def status_error(self, head: ResponseHead) -> HttpFailed:
        """The error of a final status without a file, with the wait of its Retry-After."""
        wait = longest_wait(head, self._wall_clock())
        if head.status == ACCEPTED:
            message = f"{head.target}: {PREPARING} (status {ACCEPTED})"
        else:
            message = f"{head.target}: the server answered with status {head.status}"
        return HttpFailed(head.status, message, retry_after=wait, raw=_own_phrase(head))

    def locate(self, error: OriginError) -> None:
        """Note in ``error`` where the redirects ended, for the log."""
        if self.target is not None and self.target.redirected_from is not None:
            error.at = error.at or shown_url(self.target.url)

    def check_whole(self, head: ResponseHead) -> None:
        """Check that a response to a plain GET is the whole file. Raises HttpFailed, ProtocolViolated."""
        if head.status in (OK, PARTIAL):
            declared_total(head)
            if any(value.lower().startswith(b"multipart/byteranges") for value in head.all_bytes("content-type")):
                # RFC 9110, 14.6: parts of the file between delimiters.
                raise ProtocolViolated(f"{head.target}: parts (multipart/byteranges) were sent as the whole file")
        if head.status == OK:
            return
        if head.status == PARTIAL:
            sent = content_range(head.get("content-range"))
            # Content-Range gives the length of a chunked one, too.
            if sent is not None and (head.chunked or sent.total == head.length):
                return
            # RFC 9110, 15.3.7: the response to a range request only.
            raise ProtocolViolated(f"{head.target}: partial content (206) in response to a request for the whole file")
        if head.status == NOT_MODIFIED:
            # RFC 9110, 15.4.5: the response to a conditional request only.
            raise ProtocolViolated(f"{head.target}: the server answered an unconditional request with status 304")
        # 204 and 205 mean that there is no file, 203 that a proxy changed it, 201 and 202 that it is elsewhere or not
        # ready yet; 600 and above count as server errors (RFC 9110, 15).
        raise self.status_error(head)

    def _refollowed_if_expired(
        self, connection: Connection, head: ResponseHead, fields: Fields, heartbeat: Callable[[], None]
    ) -> tuple[Connection, ResponseHead]:
        # ``target`` may have been a short-lived signed URL; the submitted URL redirects to a new one.
        if head.status not in EXPIRED and head.status not in REDIRECTS:
            return connection, head
        connection.close()
        return self._follow_redirects(fields, heartbeat)

    def _follow_redirects(self, fields: Fields, heartbeat: Callable[[], None]) -> tuple[Connection, ResponseHead]:
        connection, head = self.client.get(self.url, fields, self.deadline, self._cookies, heartbeat)
        self.target = head.target
        return connection, head
