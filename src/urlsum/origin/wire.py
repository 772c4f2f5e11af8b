"""A connected socket on which every call is bounded in time."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from urlsum.errors import DeadlineReached

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.origin.buffers import Block

# How long one fill() goes on: often enough to look at deadlines and rates, seldom enough that this costs nothing.
FILL_SECONDS = 0.25


class Silent(Exception):
    """The peer neither sent nor took anything for the time that was given."""


class Cut(Exception):
    """The peer sends no more: it closed or reset the connection, or broke TLS. The cause is chained."""


class Wire:
    """Moves bytes; says Silent or Cut where the socket does not, and knows nothing of HTTP.

    ``deadline`` (seconds, on ``clock``) may be moved while the wire is in use.
    """

    def __init__(
        self, sock: socket.socket, *, read_timeout: float, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._sock = sock
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
            raise Cut from exc

    def recv_into(self, view: memoryview, *, within: float | None = None) -> int:
        """Receive at least one byte into ``view``; return how many.

        Waits at most ``within`` seconds (default READ_TIMEOUT). Raises Silent, Cut, DeadlineReached.
        """
        by_deadline = self._arm(self.read_timeout if within is None else within)
        try:
            count = self._sock.recv_into(view)
        except TimeoutError as exc:
            raise self._too_late(by_deadline) from exc
        except OSError as exc:
            raise Cut from exc
        if count == 0:
            raise Cut
        return count

    def fill(self, block: Block, most: int) -> None:
        """Receive into ``block`` until it holds ``most`` bytes, or for FILL_SECONDS.

        TLS gives at most one record of 16 KiB per call, so this loop is the hottest Python there is here: the time-out
        is armed once for all of it, and waits READ_TIMEOUT for each piece. Raises Silent, Cut, DeadlineReached; what
        ``block`` then holds still counts.
        """
        by_deadline = self._arm(self.read_timeout)
        receive, clock, view, filled = self._sock.recv_into, self.clock, block.view, block.filled
        until = clock() + FILL_SECONDS
        try:
            while filled < most:
                count = receive(view[filled:most])
                if count == 0:
                    raise Cut
                filled += count
                block.filled = filled
                if clock() >= until:
                    return
        except TimeoutError as exc:
            raise self._too_late(by_deadline) from exc
        except OSError as exc:
            raise Cut from exc

    @property
    def quiet(self) -> bool:
        """Whether nothing has come that nobody asked for, the end of the connection included."""
        try:
            return not select.select([self._sock], [], [], 0)[0]
        except (OSError, ValueError):  # closed, or a descriptor beyond what select() takes
            return False

    def abort(self) -> None:
        """End the connection under a thread that waits on it, which then meets Cut; may be called from any thread."""
        # Past SSLSocket.shutdown, which takes the TLS state away while another thread may be using it.
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self._sock.close()

    def _arm(self, seconds: float) -> bool:
        """Set the socket's time-out; say whether the deadline, not ``seconds``, is what it comes from."""
        left = self.deadline - self.clock()
        if left <= 0:
            raise DeadlineReached
        if seconds <= 0:
            raise Silent
        self._sock.settimeout(min(seconds, left))
        return left <= seconds

    @staticmethod
    def _too_late(by_deadline: bool) -> Exception:
        return DeadlineReached() if by_deadline else Silent()
