"""HTTP/1.1 over one judged socket: a GET, its response head, its response body, then the next GET (keep-alive).

h11 parses heads and chunked framing. A body of known length is received directly into the caller's buffer, without
a copy.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import h11

from urlsum.errors import ConnectFailed, DeadlineReached, Incomplete, ProtocolViolated, TimedOut
from urlsum.origin.http11 import malformed_head, tls, tls_failures, trailers
from urlsum.origin.http11.origin_limit import NoPlace
from urlsum.origin.http11.response import END_OF_HEAD, MAX_HEAD_BYTES, MAX_INTERIM, check_start, parse
from urlsum.origin.http11.stream import ConnectionClosed, NetworkStream, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.access import Proxy
    from urlsum.origin.http11.origin_limit import Place
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.http11.stream import Block
    from urlsum.settings import Settings

RECEIVE_HEAD_BYTES = 16_384
# Chunked bodies pass through this buffer into h11; a quarter of the body's own buffer makes h11's copies cheap.
RECEIVE_CHUNKED_BYTES = 262_144
# What h11 says of a fault before it quotes the origin. Strangers read our text, so only these pass into it.
H11_FAULTS = (
    "illegal status line",
    "illegal header line",
    "illegal chunk header",
    "malformed chunk footer",
    "conflicting Content-Length headers",
    "bad Content-Length",
    "multiple Transfer-Encoding headers",
    "Only Transfer-Encoding: chunked is supported",
    "Receive buffer too long",
    "continuation line at start of headers",
    "no response line received",
    "Response status_code should be in range [200, 1000)",
)


def connect(
    target: Target, guard: Guard, settings: Settings, *, deadline: Deadline, place: Place, proxy: Proxy | None = None
) -> Connection:
    """A connection to a judged address of ``target`` that has a ``place`` for it, with TLS for https.

    Through a ``proxy`` the address is the proxy's choice. Raises what ``Guard.connect`` does, NoPlace, SettingsError,
    TlsFailed, TimedOut, DeadlineReached.
    """
    try:
        if proxy is not None:
            sock = proxy.connect(target, within=settings.connect_timeout, deadline=deadline)
        else:
            sock = guard.connect(target, deadline=deadline, admit=place.admit)
    except ConnectFailed as exc:
        if place.refused is not None:
            raise NoPlace(place.refused) from exc
        raise
    if target.secure:
        left = deadline.remaining()
        if left <= 0:
            sock.close()
            raise DeadlineReached
        try:
            context = tls.context(settings.ssl_cert_file)
        except BaseException:
            sock.close()
            raise
        try:
            sock = tls.secure(sock, target, context, within=min(settings.connect_timeout, left))
        except TimedOut as exc:
            if left <= settings.connect_timeout or deadline.cancelled:
                raise DeadlineReached from exc
            raise
    stream = NetworkStream(sock, read_timeout=settings.read_timeout, deadline=deadline)
    return Connection(target, stream, place, None if target.secure else proxy)


class Connection:
    """One socket with one exchange at a time. ``_pending`` has the bytes that were received with the head.

    ``place`` is its place in the limits of the origin, given back when it is closed. ``proxy`` is at the other end,
    and forwards each request.
    """

    def __init__(
        self, target: Target, stream: NetworkStream, place: Place | None = None, proxy: Proxy | None = None
    ) -> None:
        self._proxy = proxy
        self.target = target
        self.stream = stream
        self.place = place
        self._http = _parser()
        self._pending = memoryview(b"")
        self._remaining: int | None = None
        self._chunked = False
        self._ended = False
        self._head: ResponseHead  # set by get(), before there is a body to read
        self._received = 0  # bytes of a chunked body
        self._well_formed = True
        self._may_have_leftovers = False  # whether the next bytes may be the rest of an earlier response
        self._scratch = memoryview(b"")
        self._keeps_alive = False
        self.latency = 0.0
        """Seconds from the last request to its response head."""
        self.response_began = False
        """Whether any byte of a response to the last request came. The rest of an earlier response does not count."""

    def get(self, fields: Iterable[tuple[str, str | bytes]], target: Target | None = None) -> ResponseHead:
        """Send a GET for ``target``, by default the last one; return the final response head, whatever its status.

        The whole head, with all interim responses before it, takes at most READ_TIMEOUT seconds: a time-out per
        read would let it trickle for ever. Raises ProtocolViolated, Incomplete, TlsFailed, TimedOut,
        DeadlineReached.
        """
        if target is not None:
            self.target = target
        # A new parser for each exchange, because one response must not affect the next.
        self._http, self._ended, self._keeps_alive, self.response_began = _parser(), False, False, False
        self._received, self._well_formed = 0, True
        # A proxy gets the absolute form (RFC 9112, 3.2.2).
        path, for_proxy = (self.target.path, ()) if self._proxy is None else (self.target.url, self._proxy.fields)
        all_fields = [_encoded(field) for field in (("Host", self.target.authority), *fields, *for_proxy)]
        request = h11.Request(method="GET", target=path, headers=all_fields)
        data = (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        if self.place is not None:
            self.place.requests += 1
        sent_at = self.stream.clock()
        try:
            # A server may respond and close before it has read the whole request; the response still counts.
            with suppress(ConnectionClosed):
                self.stream.send(data)
            head = self._receive_head()
        except ReadTimeout as exc:
            raise TimedOut(f"{self.target}: no complete response within {self.stream.read_timeout:g} s") from exc
        except ConnectionClosed as exc:
            if isinstance(exc.__cause__, ssl.SSLError):
                raise tls_failures.refusal(self.target, exc.__cause__) from exc
            raise Incomplete(
                f"{self.target}: the connection was closed before the head of the response was complete"
            ) from exc
        trailers.check_head(head)
        self.latency = self.stream.clock() - sent_at
        self._head = head
        self._may_have_leftovers = True
        self._remaining = head.length
        self._chunked = head.chunked
        # h11 has read Connection and the version (RFC 9112, 9.3); a body without framing ends with the connection. A
        # dropped line may have been Connection, and a server that mixes two outputs in one head may mix the next, too.
        framed = head.chunked or head.length is not None
        self._keeps_alive = framed and self._well_formed and self._http.our_state is not h11.MUST_CLOSE
        return head

    @property
    def reusable(self) -> bool:
        """Whether the body was read to its end, no byte follows it, and the origin keeps the connection alive."""
        if not self._keeps_alive or self._pending:
            return False
        if self._chunked:
            return self._ended and not self._http.trailing_data[0]
        return self._remaining == 0

    def expect(self, length: int) -> None:
        """Hold the body to ``length`` bytes, proven elsewhere: the only end of a body without framing."""
        self._remaining = length

    def read_into(self, view: memoryview) -> int:
        """Receive the next bytes of the body into ``view``; return how many, 0 at the end that its framing proves.

        Raises ProtocolViolated, ReadTimeout, ConnectionClosed, DeadlineReached; Incomplete or Changed for a trailer.
        """
        if self._chunked:
            count = self._read_chunks(view)
            self._count(count)
            if self._remaining is not None:
                self._remaining -= count
                if self._remaining < 0:
                    raise ProtocolViolated(f"{self.target}: the response is longer than its Content-Range says")
            return count
        if self._remaining is None:
            raise ValueError("a body without framing needs a length from elsewhere")
        if self._remaining == 0:
            return 0
        count = self._receive(view[: self._remaining])
        self._remaining -= count
        self._count(count)
        return count

    @property
    def can_fill(self) -> bool:
        """Whether ``fill`` may be used: the body has a known length, and nothing is left to parse."""
        return self._remaining is not None and not self._chunked and not self._pending

    def fill(self, block: Block) -> bool:
        """Receive the body directly into ``block``, until it is full or for FILL_SECONDS; False at its end.

        Raises ReadTimeout, ConnectionClosed, DeadlineReached; the bytes in ``block`` stay valid.
        """
        if self._remaining is None:
            raise ValueError("only a body of known length can be received without looking at it")
        if self._remaining == 0:
            return False
        before = block.filled
        try:
            most = min(len(block.view), before + self._remaining)
            self.stream.fill(block, most, behind=before + self._remaining - most)
        finally:
            self._remaining -= block.filled - before
            self._count(block.filled - before)
        return True

    def has_more(self) -> bool:
        """Whether bytes follow the expected length. Raises ReadTimeout, DeadlineReached."""
        try:
            return self._receive(memoryview(bytearray(1))) > 0
        except ConnectionClosed:
            return False

    def close(self) -> None:
        """Close the socket and give its place back; a second time does nothing."""
        self.stream.close()
        if self.place is not None:
            self.place.release()

    def _count(self, received: int) -> None:
        if self.place is not None:
            self.place.received += received

    def _receive_head(self) -> ResponseHead:
        limit = self.stream.clock() + self.stream.read_timeout
        raw = bytearray()
        for _ in range(MAX_INTERIM + 1):
            received = self._head_text(raw, limit)
            self._may_have_leftovers = False
            text = malformed_head.without_malformed(received, self.target)
            self._well_formed = self._well_formed and text is received
            try:
                self._http.receive_data(text)
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise self._violation("the response is not valid HTTP", exc, text) from exc
            if isinstance(event, h11.Response):
                self._pending = memoryview(bytes(raw))
                return parse(event, text, self.target)
        raise ProtocolViolated(f"{self.target}: more than {MAX_INTERIM} interim responses (1xx)")

    def _head_text(self, raw: bytearray, limit: float) -> bytes:
        """Remove one head from the front of ``raw``, after receiving as much as that needs."""
        piece = memoryview(bytearray(RECEIVE_HEAD_BYTES))
        searched = 0
        while True:
            try:
                check_start(raw, self.target)
            except ProtocolViolated as exc:
                if not self._may_have_leftovers:
                    raise
                # The rest of an earlier response, often an empty line. Chromium skips up to four such bytes, curl 7.88
                # refuses them. They are no response to this GET, so sending it on a new connection is safe.
                self.response_began = False
                raise Incomplete(f"{self.target}: leftover bytes of an earlier response precede the head") from exc
            match = END_OF_HEAD.search(raw, max(searched - 2, 0))
            if (match.end() if match else len(raw)) > MAX_HEAD_BYTES:
                raise ProtocolViolated(f"{self.target}: the head of the response is longer than {MAX_HEAD_BYTES} bytes")
            if match:
                text = bytes(raw[: match.end()])
                del raw[: match.end()]
                return text
            searched = len(raw)
            raw += piece[: self.stream.recv_into(piece, within=limit - self.stream.clock())]
            self.response_began = True

    def _receive(self, view: memoryview, *, within: float | None = None) -> int:
        if not self._pending:
            return self.stream.recv_into(view, within=within)
        count = min(len(view), len(self._pending))
        view[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def _read_chunks(self, view: memoryview) -> int:
        # One receive never brings more than fits, and h11 holds no data back, so no event overflows.
        if not self._scratch:
            self._scratch = memoryview(bytearray(RECEIVE_CHUNKED_BYTES))
        if self._ended:
            return 0
        filled = 0
        # READ_TIMEOUT without a byte of the file: trickling extensions and trailers do not count.
        limit = self.stream.clock() + self.stream.read_timeout
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise self._violation("the chunked body is malformed", exc, b"") from exc
            if isinstance(event, h11.Data):
                view[filled : filled + len(event.data)] = event.data
                filled += len(event.data)
                self._received += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                trailers.check(event.headers, self._head, self._received)
                self._ended = True
                return filled
            elif filled:
                return filled
            else:
                count = self._receive(self._scratch[: len(view)], within=limit - self.stream.clock())
                self._http.receive_data(bytes(self._scratch[:count]))

    def _violation(self, what: str, error: h11.RemoteProtocolError, text: bytes) -> ProtocolViolated:
        said = str(error)
        fault = next((each for each in H11_FAULTS if said.startswith(each)), "")
        # Without a quotation the fault is somewhere in the text.
        raw = text if said == fault and text else said
        return ProtocolViolated(f"{self.target}: {what}{f': {fault}' if fault else ''}", raw=raw)


def _encoded(field: tuple[str, str | bytes]) -> tuple[bytes, bytes]:
    name, value = field
    return name.encode("ascii"), value if isinstance(value, bytes) else value.encode("ascii")


def _parser() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
