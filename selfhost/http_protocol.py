"""HTTP/1.1 for strangers: uvicorn's protocol with deadlines, limits of connections, and a bounded end.

uvicorn bounds idle keep-alive connections only. A client that sends nothing, or a byte now and then, would hold its
connection forever (Slowloris), and one whose request was refused early could send its body without end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from urlsum.web.models import Kind, Problem
from urlsum.web.negotiation import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from selfhost.connections import Connections

MALFORMED = Kind("malformed-request", "Malformed request", HTTPStatus.BAD_REQUEST)
REQUEST_TIMEOUT = Kind("request-timeout", "The request took too long", HTTPStatus.REQUEST_TIMEOUT)
CLOSE = (b"connection", b"close")
# For a connection that is refused while all others are being answered; written without h11, which has seen no request.
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Times:
    """How long a client may take. All times are seconds."""

    # For head and body, from the connection or the first byte of a further request. The longest request has 24 KiB, for
    # which 10 s are enough at 20 kbit/s.
    request: float = 10.0
    # For taking what is being sent: as long again.
    response: float = 10.0
    # How long a connection stays half-closed, so that its client can read the response (RFC 9112, 9.6). A round trip
    # and a retransmission fit in.
    linger: float = 2.0


# The most bytes that are read, and discarded, meanwhile. A client that looks for a response only after it has sent
# everything still gets it if its body fits in here and into the buffers of the network.
LINGER_BYTES = 2**20


class LimitedProtocol(H11Protocol):
    """One connection. ``arguments`` are those that uvicorn passes."""

    def __init__(self, connections: Connections, times: Times, **arguments: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**arguments)
        self.app = partial(self._respond, self.app)
        self._connections = connections
        self._times = times
        self._raw: asyncio.Transport = None  # type: ignore[assignment] # as uvicorn's transport: set on connection
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._discarded: int | None = None  # while lingering
        self._stopping = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn narrows it
        """Start the clock of the first request, or refuse the connection."""
        self._raw = transport
        super().connection_made(_ClosedByProtocol(transport, self._end))
        if self._connections.add(self, self.client[0] if self.client else None):
            self._start("request", self._times.request, self._request_is_late)
        else:
            transport.write(BUSY)
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, or discard it if the response is complete."""
        if self._discarded is not None:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._raw.pause_reading()
            return
        self._start("request", self._times.request, self._request_is_late)
        super().data_received(data)

    def pause_writing(self) -> None:
        """Limit the time in which the client must read: uvicorn waits for it without end."""
        super().pause_writing()
        self._start("response", self._times.response, self._raw.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        self._stop("response")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        for name in tuple(self._timers):
            self._stop(name)
        self._connections.remove(self)
        super().connection_lost(exc)

    # What uvicorn calls.

    def handle_events(self) -> None:
        """Parse what came; uvicorn's, with the clock of the request."""
        super().handle_events()
        self._note_state()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._note_state()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that violates HTTP."""
        self._refuse(MALFORMED, msg)

    def shutdown(self) -> None:
        """End for a stop of the server, which waits for nobody who has no request under way."""
        self._stopping = True
        if self._discarded is None:
            super().shutdown()
        else:
            self._raw.abort()

    # What the limits call.

    def evict(self) -> None:
        """Close at once: another connection needs the place."""
        self._raw.abort()

    def _note_state(self) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop("request")
            self._connections.is_busy(self)
            return
        self._connections.waits(self)
        if self.conn.their_state is h11.SEND_BODY:
            # Its head may have come with the request before it, so that no data_received started the clock.
            self._start("request", self._times.request, self._request_is_late)

    def _request_is_late(self) -> None:
        self._stop("request")
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._raw.abort()  # nothing was sent, so nothing is answered: browsers connect ahead of need
        else:
            seconds = f"{self._times.request:g}"
            self._refuse(REQUEST_TIMEOUT, f"The request was not complete within {seconds} seconds. Send it again.")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answer instead of the application, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The application waits for the rest of the body: for it the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        problem = Problem(type=kind.type, title=kind.title, status=int(kind.status), detail=detail)
        body = problem.model_dump_json().encode()
        answered_head = self.cycle is not None and self.scope["method"] == "HEAD"
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            CLOSE,
        ]
        head = h11.Response(status_code=kind.status, headers=headers, reason=kind.status.phrase.encode())
        try:
            for event in (head, h11.Data(data=b"" if answered_head else body), h11.EndOfMessage()):
                self._raw.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # a response is half sent
            self._raw.abort()
        else:
            self.transport.close()

    async def _respond(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to ``app``, unless its framing is ambiguous; close after a response that came early.

        RFC 9112, 6.1: Content-Length beside Transfer-Encoding, and Transfer-Encoding in HTTP/1.0, may be an attempt at
        request smuggling; a server may refuse it and must close the connection.
        """
        names = {name for name, _ in scope["headers"]}
        chunked = b"transfer-encoding" in names
        if chunked and (b"content-length" in names or scope["http_version"] == "1.0"):
            self._refuse(MALFORMED, "The request has a Transfer-Encoding besides its Content-Length, or in HTTP/1.0.")
            return

        async def close_if_early(message: Message) -> None:
            if message["type"] == "http.response.start" and self.conn.their_state is h11.SEND_BODY:
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await app(scope, receive, close_if_early)

    def _end(self) -> None:
        """Close the connection, which uvicorn asks for; within a bounded time whatever the client does."""
        for name in tuple(self._timers):
            self._stop(name)
        self._connections.waits(self)
        unread = self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or self.conn.trailing_data[0]
        if self._stopping or not unread:
            self._raw.close()
            self._start("end", self._times.response, self._raw.abort)  # or as soon as everything is sent
            return
        # Closing a socket with unread bytes resets the connection, and a client may lose the response that it has not
        # read yet. So first the sending side alone is closed (RFC 9112, 9.6).
        self._discarded = 0
        self._raw.write_eof()
        self._raw.resume_reading()
        self._start("end", self._times.linger, self._raw.abort)

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Start a clock unless it is running."""
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


class _ClosedByProtocol(asyncio.Transport):
    """A transport whose ``close`` is ``end``, and which is closing from then on."""

    def __init__(self, raw: asyncio.Transport, end: Callable[[], None]) -> None:
        super().__init__()
        self._raw = raw
        self._end = end
        self._ended = False

    def close(self) -> None:
        if not self.is_closing():
            self._ended = True
            self._end()

    def is_closing(self) -> bool:
        return self._ended or self._raw.is_closing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._raw.write(data)

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's
        return self._raw.get_extra_info(name, default)
