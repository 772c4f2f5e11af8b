"""A connected socket on which every call is bounded in time."""

from __future__ import annotations

import math
import select
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum.errors import DeadlineReached
from urlsum.origin.http11.tls import TlsSocket

if TYPE_CHECKING:
    from collections.abc import Callable


# How long one fill() goes on: often enough to look at deadlines and rates, seldom enough that this costs nothing.
FILL_SECONDS = 0.25
# From a fast origin this much is awaited before the thread is woken (SO_RCVLOWAT, socket(7)): being woken for whatever
# a packet brought was 6 % of all CPU time that a file over loopback took.
GATHER_BYTES = 131_072
# As much as makes that wait 10 ms, which nobody notices.
FAST_BYTES_PER_SECOND = GATHER_BYTES * 100


@dataclass(slots=True, eq=False)
class Block:
    """A piece of a file: ``filled`` bytes of ``view`` have come, ``taken`` of them are with the reader.

    One thread fills it while another reads what it holds, without a lock between them: both numbers only grow, and
    bytes that were counted never change.
    """

    view: memoryview
    filled: int = 0
    taken: int = 0


class ReadTimeout(Exception):
    """The peer neither sent nor took anything for the time that was given."""


class ConnectionClosed(Exception):
    """The peer sends no more: it closed or reset the connection, or broke TLS. The cause is chained."""


class NetworkStream:
    """Moves bytes; says Silent or Cut where the socket does not, and knows nothing of HTTP.

    ``deadline`` (seconds, on ``clock``) may be moved while the wire is in use.
    """

    def __init__(
        self, sock: socket.socket, *, read_timeout: float, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._receive = sock.receiver if isinstance(sock, TlsSocket) else sock.recv_into
        # Under TLS it gained nothing: OpenSSL asks for each record by itself.
        self._gathers = not isinstance(sock, ssl.SSLSocket)
        self._gathered = 1
        self._fast = False
        self.read_timeout = read_timeout
        self.deadline = deadline
        self.clock = clock

    def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises Silent, Cut, DeadlineReached."""
        by_deadline = self._arm(self.read_timeout)
        try:
            self._sock.sendall(data)
        except TimeoutError as exc:
            raise self._too_late(by_deadline) from exc
        except OSError as exc:
            raise ConnectionClosed from exc

    def recv_into(self, view: memoryview, *, within: float | None = None) -> int:
        """Receive at least one byte into ``view``; return how many.

        Waits at most ``within`` seconds (default READ_TIMEOUT). Raises Silent, Cut, DeadlineReached.
        """
        by_deadline = self._arm(self.read_timeout if within is None else within)
        self._gather(1)
        try:
            count = self._sock.recv_into(view)
        except TimeoutError as exc:
            raise self._too_late(by_deadline) from exc
        except OSError as exc:
            raise ConnectionClosed from exc
        if count == 0:
            raise ConnectionClosed
        return count

    def fill(self, block: Block, most: int, *, behind: int) -> None:
        """Receive into ``block`` until it holds ``most`` bytes, or for FILL_SECONDS.

        ``behind`` is how many bytes are sure to come after those. TLS gives at most one record of 16 KiB per call, so
        this loop is the hottest Python there is here: the time-out is armed once for all of it, and waits READ_TIMEOUT
        for each piece. Raises Silent, Cut, DeadlineReached; what ``block`` then holds still counts.
        """
        gathers = self._gathers and self._fast and behind >= GATHER_BYTES
        by_deadline = self._arm(FILL_SECONDS if gathers else self.read_timeout)
        self._gather(GATHER_BYTES if gathers else 1)
        receive, clock, view, filled = self._receive, self.clock, block.view, block.filled
        began, at_first = clock(), filled
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
            if not gathers:
                raise self._too_late(by_deadline) from exc
            # It is fast no longer; the next call takes what there is.
            now = math.inf
        except OSError as exc:
            raise ConnectionClosed from exc
        self._fast = filled - at_first >= (now - began) * FAST_BYTES_PER_SECOND

    @property
    def silent(self) -> bool:
        """Whether nothing has come that nobody asked for, the end of the connection included."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return False
        try:
            looked = select.poll()  # not select(), which takes no descriptor beyond 1023
            looked.register(self._sock, select.POLLIN)
            return not looked.poll(0)
        except (OSError, ValueError):  # closed
            return False

    def abort(self) -> None:
        """End the connection under a thread that waits on it, which then meets Cut; may be called from any thread."""
        # Past SSLSocket.shutdown, which takes the TLS state away while another thread may be using it.
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._sock.close()

    def _gather(self, count: int) -> None:
        """Be woken for ``count`` bytes, or the end, and not before."""
        if count != self._gathered:
            self._gathered = count
            with suppress(OSError):  # it only saves work
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _arm(self, seconds: float) -> bool:
        """Set the socket's time-out; say whether the deadline, not ``seconds``, is what it comes from."""
        left = self.deadline - self.clock()
        if left <= 0:
            raise DeadlineReached
        if seconds <= 0:
            raise ReadTimeout
        self._sock.settimeout(min(seconds, left))
        return left <= seconds

    @staticmethod
    def _too_late(by_deadline: bool) -> Exception:
        return DeadlineReached() if by_deadline else ReadTimeout()
