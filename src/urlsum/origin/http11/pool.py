"""The connection pool: idle connections, kept alive for later requests to the same origin.

A new connection costs one round trip, two with TLS, and a judgement of every address of the name: more than a small
file does. A pooled connection leads to an address that was judged when it was opened, and the guard has judged each
caller's URL, so the pool contacts nothing that the guard would refuse: a connection that was opened for a target to
which private addresses are open serves only such targets.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from urlsum.errors import Incomplete, TlsFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import TypeVar

    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.origin_limit import Key
    from urlsum.origin.tuning import Tuning

    Result = TypeVar("Result")


class ConnectionPool:
    """Idle connections; the longest idle is dropped first. Safe for many threads."""

    def __init__(self, clock: Callable[[], float], tuning: Tuning) -> None:
        self._clock = clock
        self._tuning = tuning
        self._lock = threading.Lock()
        self._idle: list[tuple[Hashable, float, Connection]] = []
        self._closed = False

    def acquire(self, target: Target) -> Connection | None:
        """The freshest idle connection to the origin of ``target``; None without one."""
        while True:
            with self._lock:
                index = next((i for i in reversed(range(len(self._idle))) if self._idle[i][0] == _key(target)), None)
                if index is None:
                    return None
                _, since, connection = self._idle.pop(index)
            if self._clock() - since <= self._tuning.idle_seconds and connection.stream.idle:
                if connection.place is not None:
                    connection.place.idle = False
                return connection
            connection.close()

    def release(self, connection: Connection) -> None:
        """Keep ``connection`` for later requests if it is reusable, else close it."""
        limit, place = self._tuning.idle_connections, connection.place
        with self._lock:
            if connection.reusable and not self._closed and not (place is not None and place.surplus):
                if place is not None:
                    place.idle = True
                self._idle.append((_key(connection.target), self._clock(), connection))
                surplus = [idle for _, _, idle in self._idle[:-limit]]
                del self._idle[:-limit]
            else:
                surplus = [connection]
        for dropped in surplus:
            dropped.close()
        if place is not None and place.idle:
            place.limit.pooled()

    def drop(self, key: Key) -> bool:
        """Close the connection that has been idle longest and has a place of ``key``; False without one."""
        with self._lock:
            index = next((i for i, idle in enumerate(self._idle) if _has_place(idle[2], key)), None)
            if index is None:
                return False
            *_, connection = self._idle.pop(index)
        connection.close()
        return True

    def drop_stale(self) -> None:
        """Close the connections that have been idle for too long: each has a place that others may need."""
        with self._lock:
            oldest = self._clock() - self._tuning.idle_seconds
            dropped = [connection for _, since, connection in self._idle if since < oldest]
            self._idle = [idle for idle in self._idle if idle[1] >= oldest]
        for connection in dropped:
            connection.close()

    def clear(self) -> None:
        """Close all idle connections."""
        with self._lock:
            dropped, self._idle = self._idle, []
        for _, _, connection in dropped:
            connection.close()

    def close(self) -> None:
        """Close all idle connections, and every connection released later."""
        with self._lock:
            self._closed = True
        self.clear()


def _key(target: Target) -> Hashable:
    return target.origin, target.private


def _has_place(connection: Connection, key: Key) -> bool:
    return connection.place is not None and key in connection.place.keys


def retry_on_stale_connection(
    pooled: Connection | None, connect: Callable[[], Connection], send: Callable[[Connection], Result]
) -> Result:
    """The result of ``send`` on the ``pooled`` connection, or else on a new one. Raises what both functions do.

    The origin may close a pooled connection at this very moment. That says nothing about the file as long as no byte
    of a response came, and a GET may be sent again (RFC 9112, 9.3.1): once, on a new connection.
    """
    if pooled is not None:
        try:
            return send(pooled)
        except (Incomplete, TlsFailed):
            if pooled.response_began:
                raise
    return send(connect())
