"""The connection pool (keep-alive), and the limit of connections per origin.

A new connection costs one round trip, two with TLS, and a judgement of every address of the name: more than a small
file does. A pooled connection leads to an address that was judged when it was opened, and the guard has judged each
caller's URL, so the pool contacts nothing that the guard would refuse.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from urlsum.errors import Incomplete, TlsFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.tuning import Tuning

    Key = tuple[str, str, int]
    Result = TypeVar("Result")


class ConnectionPool:
    """Idle connections; the longest idle is dropped first. Safe for many threads."""

    def __init__(self, clock: Callable[[], float], tuning: Tuning) -> None:
        self._clock = clock
        self._tuning = tuning
        self._lock = threading.Lock()
        self._idle: list[tuple[Key, float, Connection]] = []
        self._closed = False

    def acquire(self, target: Target) -> Connection | None:
        """The freshest idle connection to the scheme, host and port of ``target``; None without one."""
        key = _key(target)
        while True:
            with self._lock:
                index = next((i for i in reversed(range(len(self._idle))) if self._idle[i][0] == key), None)
                if index is None:
                    return None
                _, since, connection = self._idle.pop(index)
            if self._clock() - since <= self._tuning.idle_seconds and connection.stream.idle:
                return connection
            connection.close()

    def release(self, connection: Connection) -> None:
        """Keep ``connection`` for later requests if it is reusable, else close it."""
        limit = self._tuning.idle_connections
        with self._lock:
            if connection.reusable and not self._closed:
                self._idle.append((_key(connection.target), self._clock(), connection))
                surplus = [idle for _, _, idle in self._idle[:-limit]]
                del self._idle[:-limit]
            else:
                surplus = [connection]
        for dropped in surplus:
            dropped.close()

    def close(self) -> None:
        """Close all idle connections, and every connection released later."""
        with self._lock:
            self._closed = True
            dropped, self._idle = self._idle, []
        for _, _, connection in dropped:
            connection.close()


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


def _key(target: Target) -> Key:
    return target.scheme, target.host, target.port


class OriginLimit:
    """At most ``limit`` connections per scheme, host and port, but one for every file. Safe for many threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: Counter[tuple[str, str, int]] = Counter()

    def try_acquire(self, target: Target, *, first: bool) -> bool:
        """Count one more connection, False at the limit; the ``first`` of a file is always allowed."""
        key = target.scheme, target.host, target.port
        with self._lock:
            if not first and self._open[key] >= self._limit:
                return False
            self._open[key] += 1
            return True

    def release(self, target: Target) -> None:
        """Count one connection less."""
        key = target.scheme, target.host, target.port
        with self._lock:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def exceeded(self, target: Target) -> bool:
        """Whether other files have raised the count above the limit: a further connection of a file should close."""
        with self._lock:
            return self._open[target.scheme, target.host, target.port] > self._limit
