"""The connection pool (keep-alive), and the limit of connections per origin.

A new connection costs a round trip, two with TLS, and a judgement of every address of the name: for a small file more
than the file. A pooled connection leads to an address that was judged when it was opened, and each caller has had its
URL judged again, so nothing is contacted that the guard would refuse.
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
    Answered = TypeVar("Answered")


class ConnectionPool:
    """Idle connections, the longest waiting dropped first. Safe for many threads."""

    def __init__(self, clock: Callable[[], float], tuning: Tuning) -> None:
        self._clock = clock
        self._tuning = tuning
        self._lock = threading.Lock()
        self._waiting: list[tuple[Key, float, Connection]] = []
        self._closed = False

    def acquire(self, target: Target) -> Connection | None:
        """The freshest connection to the scheme, host and port of ``target``, None without one."""
        key = _key(target)
        while True:
            with self._lock:
                at = next((at for at in reversed(range(len(self._waiting))) if self._waiting[at][0] == key), None)
                if at is None:
                    return None
                _, since, connection = self._waiting.pop(at)
            if self._clock() - since <= self._tuning.idle_seconds and connection.stream.silent:
                return connection
            connection.close()

    def release(self, connection: Connection) -> None:
        """Keep ``connection`` for the next file if it can carry one, else close it."""
        most = self._tuning.idle_connections
        with self._lock:
            if connection.reusable and not self._closed:
                self._waiting.append((_key(connection.target), self._clock(), connection))
                surplus = [waiting for _, _, waiting in self._waiting[:-most]]
                del self._waiting[:-most]
            else:
                surplus = [connection]
        for dropped in surplus:
            dropped.close()

    def close(self) -> None:
        """Close all that wait, and those that are still given."""
        with self._lock:
            self._closed = True
            dropped, self._waiting = self._waiting, []
        for _, _, connection in dropped:
            connection.close()


def retry_on_stale_connection(
    waiting: Connection | None, connect: Callable[[], Connection], over: Callable[[Connection], Answered]
) -> Answered:
    """What ``over`` returns for ``waiting``, or else for a new connection.

    One that waited may have been closed by the origin at this very moment. That says nothing about the file as long as
    no byte of an answer came, and a GET may be sent again (RFC 9112, 9.3.1): once, on a new one.
    """
    if waiting is not None:
        try:
            return over(waiting)
        except (Incomplete, TlsFailed):
            if waiting.response_began:
                raise
    return over(connect())


def _key(target: Target) -> Key:
    return target.scheme, target.host, target.port


class OriginLimit:
    """At most ``most`` to each scheme, host and port, except that every file may have one. Safe for many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._inside: Counter[tuple[str, str, int]] = Counter()

    def try_acquire(self, target: Target, *, first: bool) -> bool:
        """Count one more, unless there are enough; the ``first`` of a file is always let in."""
        key = target.scheme, target.host, target.port
        with self._lock:
            if not first and self._inside[key] >= self._most:
                return False
            self._inside[key] += 1
            return True

    def release(self, target: Target) -> None:
        """Count one less."""
        key = target.scheme, target.host, target.port
        with self._lock:
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key]

    def exceeded(self, target: Target) -> bool:
        """Whether further files have come since there was room: a helper should leave."""
        with self._lock:
            return self._inside[target.scheme, target.host, target.port] > self._most
