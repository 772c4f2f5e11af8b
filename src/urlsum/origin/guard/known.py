"""Names whose addresses the guard itself must know: looked up in the background, and kept.

A connection waits for the first look-ups only, and for a bounded time. A late answer counts as soon as it comes.
"""

from __future__ import annotations

import threading
from collections import deque
from ipaddress import ip_address
from typing import TYPE_CHECKING

from urlsum.origin.guard.dns import is_absent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.dns import Resolver

    Query = tuple[str, Resolver]

# How long a process waits for its first look-ups. A name server answers within some ms, so after this something is
# wrong with it, and CONNECT_TIMEOUT must not be spent on that.
LOOK_UP_SECONDS = 2.0
# A name server that failed may recover soon.
AFTER_FAILURE_SECONDS = 10.0
# Names with many addresses show some of them at a time, so an address counts for this long after it was last seen.
KEPT_SECONDS = 3600.0
# Look-ups side by side: a list of a thousand names takes seconds, and a name server does not feel it.
MAX_THREADS = 8


class KnownAddresses:
    """The addresses of ``names`` by each of ``resolvers``, looked up again after ``refresh_seconds``.

    A look-up that fails leaves the addresses that were known before; NXDOMAIN and NODATA are answers.
    """

    def __init__(self, names: Iterable[str], resolvers: tuple[Resolver, ...], *, refresh_seconds: float) -> None:
        self._queries = [(name, resolver) for name in dict.fromkeys(names) for resolver in resolvers]
        self._refresh_seconds = refresh_seconds
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._patient_until = float("inf")
        self._first_round_ended = threading.Event()
        self._running = 0
        self._answered_at: dict[Query, float] = {}
        self._seen: dict[Query, dict[Address, float]] = {}
        self._all: frozenset[Address] = frozenset()

    @property
    def addresses(self) -> frozenset[Address]:
        """Every address that is known now."""
        return self._all

    @property
    def complete(self) -> bool:
        """Whether every look-up has had an answer, however long ago."""
        return self.answered_since(None)

    def answered_since(self, time: float | None) -> bool:
        """Whether each look-up has had an answer since ``time``, in seconds on the deadline's clock; None for ever."""
        with self._lock:
            answers = [self._answered_at.get(query) for query in self._queries]
        return all(at is not None and (time is None or at >= time) for at in answers)

    def begin(self, now: float) -> None:
        """Begin the look-ups if they are due at ``now``. They go on in the background."""
        with self._lock:
            if self._queries and now >= self._due and not self._running:
                self._start(now)

    def wait(self, deadline: Deadline) -> None:
        """Wait for the first look-ups, until LOOK_UP_SECONDS after they began, and never again."""
        if self._queries:
            patience = min(self._patient_until - deadline.clock(), deadline.remaining())
            if patience > 0:
                self._first_round_ended.wait(patience)

    def _start(self, now: float) -> None:
        left = deque(self._queries)
        self._due = now + self._refresh_seconds
        self._patient_until = min(self._patient_until, now + LOOK_UP_SECONDS)
        for _ in range(min(len(left), MAX_THREADS)):
            threading.Thread(target=self._work, args=(left, now), name="known addresses", daemon=True).start()
            self._running += 1

    def _work(self, left: deque[Query], now: float) -> None:
        failed = False
        while True:
            try:
                query = left.popleft()
            except IndexError:
                break
            try:
                found = _look_up(*query)
            except Exception:  # noqa: BLE001 - a custom resolver may raise anything; the thread must report its end
                failed = True
            else:
                self._record(query, found, now)
        with self._lock:
            self._running -= 1
            if failed:
                self._due = min(self._due, now + AFTER_FAILURE_SECONDS)
            if not self._running:
                self._first_round_ended.set()

    def _record(self, query: Query, found: list[Address], now: float) -> None:
        with self._lock:
            self._answered_at[query] = now
            seen = {address: at for address, at in self._seen.get(query, {}).items() if at > now - KEPT_SECONDS}
            self._seen[query] = seen | dict.fromkeys(found, now)
            self._all = frozenset(address for known in self._seen.values() for address in known)


def _look_up(name: str, resolver: Resolver) -> list[Address]:
    try:
        return [ip_address(text) for text in resolver(name)]
    except OSError as exc:
        if is_absent(exc):
            return []
        raise
