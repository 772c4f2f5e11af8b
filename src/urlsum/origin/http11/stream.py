"""The network stream: a connected socket on which every call is bounded in time."""

from __future__ import annotations

import math
import select
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.errors import DeadlineReached
from urlsum.origin.http11.tls import TlsSocket

if TYPE_CHECKING:
    from urlsum.deadline import Deadline


# How long one fill() takes: short enough to check deadlines and rates often, long enough that this costs nothing.
FILL_SECONDS = 0.25
# From a fast origin this much must come before the thread is woken (SO_RCVLOWAT, socket(7)): waking it for each packet
# was 6 % of all CPU time that a file over loopback took.
GATHER_BYTES = 131_072
# At this rate that wait takes 10 ms, which nobody notices.
FAST_BYTES_PER_SECOND = GATHER_BYTES * 100


class Block(Struct, eq=False):
    """A piece of a file: ``filled`` bytes of ``view`` have come, and the reader has taken ``taken`` of them.

    One thread fills it while another reads it, without a lock between them: both numbers only grow, and counted bytes
    never change.
    """

    view: memoryview
    filled: int = 0
    taken: int = 0


class ReadTimeout(Exception):
    """The peer neither sent nor received anything within the time-out."""


class ConnectionClosed(Exception):
    """The peer sends no more: it closed or reset the connection, or broke TLS. The cause is chained."""


class NetworkStream:
    """Moves bytes, and knows nothing of HTTP; the socket's errors become ReadTimeout or ConnectionClosed.

    ``read_timeout`` is in seconds. ``deadline`` may be replaced while the stream is in use.
    """

    def __init__(self, sock: socket.socket, *, read_timeout: float, deadline: Deadline) -> None:
        self._sock = sock
        self._receive = sock.receiver if isinstance(sock, TlsSocket) else sock.recv_into
        # Under TLS it gained nothing: OpenSSL reads each record by itself.
        self._can_gather = not isinstance(sock, ssl.SSLSocket)
        self._low_water_mark = 1
        self._fast = False
        self._armed = 0.0
        self.read_timeout = read_timeout
        self.deadline = deadline
        self.clock = deadline.clock

    def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises ReadTimeout, ConnectionClosed, DeadlineReached."""
        by_deadline = self._arm(self.read_timeout)
        try:
            self._sock.sendall(data)
        except TimeoutError as exc:
            raise self._time_out(by_deadline) from exc
        except OSError as exc:
            raise ConnectionClosed from exc

    def recv_into(self, view: memoryview, *, within: float | None = None) -> int:
        """Receive at least one byte into ``view``; return how many.

        Waits at most ``within`` seconds (default READ_TIMEOUT). Raises ReadTimeout, ConnectionClosed, DeadlineReached.
        """
        by_deadline = self._arm(self.read_timeout if within is None else within)
        self._set_low_water_mark(1)
        try:
            count = self._sock.recv_into(view)
        except TimeoutError as exc:
            raise self._time_out(by_deadline) from exc
        except OSError as exc:
            raise ConnectionClosed from exc
        if count == 0:
            raise ConnectionClosed
        return count

    def fill(self, block: Block, most: int, *, behind: int) -> None:
        """Receive into ``block`` until it holds ``most`` bytes, or for FILL_SECONDS.

        ``behind`` bytes are sure to come after those. TLS gives at most one record of 16 KiB per call, so this loop is
        the hottest Python here: the time-out is armed once for all of it, and allows READ_TIMEOUT for each piece.
        Raises ReadTimeout, ConnectionClosed, DeadlineReached; the bytes in ``block`` stay valid.
        """
        gathering = self._can_gather and self._fast and behind >= GATHER_BYTES
        by_deadline = self._arm(FILL_SECONDS if gathering else self.read_timeout)
        self._set_low_water_mark(GATHER_BYTES if gathering else 1)
        receive, clock, view, filled = self._receive, self.clock, block.view, block.filled
        began, before = clock(), filled
        until = now = began + FILL_SECONDS
        try:
            while filled < most:
                count = receive(view[filled:most])
                if count == 0:
                    raise ConnectionClosed
                filled += count
                block.filled = filled
                if (now := clock()) >= until:
                    break
        except TimeoutError as exc:
            if not gathering:
                raise self._time_out(by_deadline) from exc
            # The origin is no longer fast; the next call takes any bytes that have come.
            now = math.inf
        except OSError as exc:
            raise ConnectionClosed from exc
        self._fast = filled - before >= (now - began) * FAST_BYTES_PER_SECOND

    @property
    def idle(self) -> bool:
        """Whether no unrequested byte has come, nor the end of the connection."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return False
        try:
            if not hasattr(select, "poll"):  # Windows, whose select() has no such limit
                return not select.select([self._sock], [], [], 0)[0]
            poller = select.poll()  # not select(), which takes no descriptor beyond 1023
            poller.register(self._sock, select.POLLIN)
            return not poller.poll(0)
        except (OSError, ValueError):  # closed
            return False

    def abort(self) -> None:
        """End the connection, from any thread; a thread that waits on it gets ConnectionClosed."""
        # Not by SSLSocket.shutdown, which removes the TLS state while another thread may be using it.
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._sock.close()

    def _set_low_water_mark(self, count: int) -> None:
        """Be woken for ``count`` bytes, or the end, and not before."""
        if count != self._low_water_mark:
            self._low_water_mark = count
            with suppress(OSError):  # it only saves work
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _arm(self, seconds: float) -> bool:
        """Set the socket's time-out; return whether it comes from the deadline, not from ``seconds``."""
        left = self.deadline.remaining()
        if left <= 0:
            raise DeadlineReached
        if seconds <= 0:
            raise ReadTimeout
        within = min(seconds, left)
        if within != self._armed:  # mostly READ_TIMEOUT each time; the call lets go of the interpreter
            self._armed = within
            self._sock.settimeout(within)
        return left <= seconds

    @staticmethod
    def _time_out(by_deadline: bool) -> Exception:
        return DeadlineReached() if by_deadline else ReadTimeout()
