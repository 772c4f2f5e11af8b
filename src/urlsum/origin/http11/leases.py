"""Leases of places: a process shares the limits of an origin with all processes of the deployment, in their table.

A process takes its places in the ledger of the key (``ledger``), one record in the table, before it opens connections,
and keeps them for a while: ten thousand small files from one origin write a few times a minute. A thread renews the
leases that are in use, hands back what others need more, and counts requests and bytes meanwhile. Leases of a process
that is killed lapse. A process whose table does not respond opens no more connections once its leases have lapsed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct, field

from urlsum.errors import OriginBusy, TableUnavailable
from urlsum.origin.http11.ledger import DAY, MINUTE, MOST_PARTIES, Ledger, Party
from urlsum.tables import Change, change
from urlsum.text.format import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.origin.http11.origin_limit import Key, OriginLimit
    from urlsum.settings import Settings
    from urlsum.tables import Record, Records

log = logging.getLogger(__name__)

# A task whose worker died waits for LEASE_SECONDS; by then, its connections must have lapsed, too. 15 s are three
# renewals, so that one that fails costs nothing.
LONGEST_LEASE_SECONDS = 15.0
SHORTEST_LEASE_SECONDS = 1.0
TASK_LEASES = 6
RENEWALS = 3
# How often a process looks for others that need its places, by the lease: every second.
LOOKS = 15
# Clocks may differ by this share of a lease, 5 s; NTP keeps them within a second.
SKEW_SHARE = 1 / 3
# The first lease of a key lasts for this many looks: a single small file is read by then, so its place lapses soon and
# needs no write to be handed back.
FIRST_LOOKS = 3
# A place that others may take is asked for this often by a file that waits for its first connection.
ASK_SECONDS = 0.2
# Above this, what a process received is written even if it is idle: otherwise small files would need one more write.
WORTH_BYTES = 16 * 2**20
WORTH_REQUESTS = 20
# The keys whose few requests are remembered after their leases.
MOST_REMEMBERED = 1000
# Requests to the table at the same time when all leases are handed back.
THREADS = 8


class _OneLedger:
    """The record of one key, which is not read again once after ``skip_read``: it is as this process wrote it.

    If another process has written it since, the version refuses the next write, and then it is read. That costs five
    times what a read does, so only a process that was alone skips it.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._written: Record | None = None
        self.skip_read = False

    def read(self, key: str, *, consistent: bool = True) -> Record | None:
        skipped, self.skip_read = self.skip_read, False
        if skipped and self._written is not None:
            return self._written
        return self._records.read(key, consistent=consistent)

    def write(self, key: str, value: str, *, over: Record | None, expires_at: float, durable: bool = False) -> Record:
        self._written = None  # unless the write is known to have succeeded
        self._written = self._records.write(key, value, over=over, expires_at=expires_at, durable=durable)
        return self._written

    def purge(self, now: float, limit: int) -> int:
        return self._records.purge(now, limit)


class Lease(Struct):
    """The lease of one key; ``until`` is in seconds since the epoch, the other times are monotonic.

    ``requests`` and ``received`` were reported up to now, less than none if an earlier lease left some unreported;
    ``minute`` and ``day`` with their counts are those of all processes as last read. ``asking`` files need a place now.
    ``alone`` is whether no other process had a line in the ledger.
    """

    records: _OneLedger
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0.0
    renewed_at: float = float("-inf")
    refused_at: float = float("-inf")
    refused_further_at: float = float("-inf")
    requests: int = 0
    received: int = 0
    minute: int = 0
    minute_requests: int = 0
    day: int = 0
    day_received: int = 0
    renewals: int = 0
    asking: int = 0
    alone: bool = False


def in_thread(work: Callable[[], None]) -> None:
    """Do ``work`` in a thread that does not keep the process alive."""
    threading.Thread(target=work, name="leases", daemon=True).start()


class PlaceLeases:
    """The ``Shares`` of a process among all that use ``records``.

    ``wall_clock`` is in seconds since the epoch. ``in_background`` runs the work that renews the leases.
    """

    def __init__(
        self,
        records: Records,
        settings: Settings,
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        in_background: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._records = records
        self._requests_per_minute = settings.origin_requests_per_minute
        self._bytes_per_day = settings.origin_bytes_per_day
        self._wall_clock = wall_clock
        self._clock = clock
        self._seconds = min(LONGEST_LEASE_SECONDS, max(SHORTEST_LEASE_SECONDS, settings.lease_seconds / TASK_LEASES))
        self._name = uuid.uuid4().hex[:12]
        self._limit: OriginLimit
        self._leases: dict[str, Lease] = {}
        # Requests and bytes of keys without a lease; their next one counts them.
        self._unreported_of: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._in_background = in_background
        self._kept = False  # whether the work in the background has begun

    def bind(self, limit: OriginLimit) -> None:
        """Serve ``limit``."""
        self._limit = limit

    def ask(self, key: Key, *, further: bool) -> bool:
        """Take one more place of ``key`` in its ledger, or note there that this process needs one."""
        lease = self._lease(key)
        with self._asking(lease, further=further), lease.lock:
            now = self._clock()
            if key.used < key.allowed:
                return True
            if key.allowed >= key.limit:  # nobody has another one
                return False
            pause = self._seconds / LOOKS if further else min(ASK_SECONDS, self._seconds / LOOKS)
            if now - (lease.refused_further_at if further else lease.refused_at) < pause:
                return False
            before = key.allowed
            try:
                self._write(key, lease, asking=True, further=further)
            except TableUnavailable as exc:
                log.warning("no connection to %s: %s", key.name, exc)
            if key.allowed > before or key.used < key.allowed:
                return True
            lease.refused_further_at = now
            if not further:
                lease.refused_at = now
            return False

    @contextmanager
    def _asking(self, lease: Lease, *, further: bool) -> Iterator[None]:
        """Count a file that asks for its first connection: the one that writes next asks for all of them."""
        with self._lock:
            lease.asking += not further
        try:
            yield
        finally:
            with self._lock:
                lease.asking -= not further

    def check(self, key: Key) -> None:
        """Raise OriginBusy if all processes together have met the limit of requests or of bytes."""
        with self._lock:
            lease = self._leases.get(key.name)
        if lease is None:
            return
        requests, received = self._limit.totals(key)
        now = self._wall_clock()
        minute = int(now // MINUTE)
        counted = requests - lease.requests + (lease.minute_requests if lease.minute == minute else 0)
        if 0 < self._requests_per_minute <= counted:
            raise OriginBusy(
                f"{self._requests_per_minute} requests to {key.name} in this minute", wait=(minute + 1) * MINUTE - now
            )
        day = int(now // DAY)
        counted = received - lease.received + (lease.day_received if lease.day == day else 0)
        if 0 < self._bytes_per_day <= counted:
            raise OriginBusy(
                f"{human_bytes(self._bytes_per_day)} from {key.name} on this day", wait=(day + 1) * DAY - now
            )

    def freed(self, key: Key) -> bool:
        """Look at once for who needs the place. A key is kept until its lease ends."""
        if key.used >= key.allowed:
            self._wake.set()
        return False

    def hand_back(self) -> None:
        """End all leases: before the process ends, or is frozen without a chance to renew them.

        A first lease of few places lapses within seconds, so that a single small file on Lambda costs no write more.
        """
        keys = [key for key in self._limit.in_use() if not self._left_to_lapse(key)]
        if keys:
            with ThreadPoolExecutor(min(THREADS, len(keys)), thread_name_prefix="hand back") as pool:
                list(pool.map(self._hand_back, keys))

    def tend(self) -> bool:
        """Renew, shrink and end leases as their use needs; return whether there are any."""
        self._limit.drop_stale()
        for key in self._limit.in_use():
            lease = self._lease(key)
            with lease.lock, suppress(TableUnavailable):
                self._tend(key, lease)
        return bool(self._limit.in_use())

    def _tend(self, key: Key, lease: Lease) -> None:
        if key.used or key.waiting:
            try:
                self._write(key, lease)
            except TableUnavailable as exc:
                if self._wall_clock() >= lease.until and key.allowed:
                    log.warning("no more connections to %s: %s", key.name, exc)
                    self._limit.shrink(key, 0)
            while key.used > key.allowed and self._limit.close_idle(key):
                pass
        elif self._wall_clock() >= lease.until:
            self._forget(key, lease)
        elif self._worth_ending(key, lease):
            self._end(key, lease)

    def _worth_ending(self, key: Key, lease: Lease) -> bool:
        """Whether others should have the places before they lapse, or know what this process received."""
        requests, received = self._unreported(key, lease)
        return key.allowed > key.limit // 4 or requests >= WORTH_REQUESTS or received >= WORTH_BYTES

    def _unreported(self, key: Key, lease: Lease) -> tuple[int, int]:
        requests, received = self._limit.totals(key)
        return requests - lease.requests, received - lease.received

    def _left_to_lapse(self, key: Key) -> bool:
        lease = self._lease(key)
        with lease.lock:
            if key.used or key.waiting or lease.renewals > 1 or self._worth_ending(key, lease):
                return False
            self._forget(key, lease)
            return True

    def _hand_back(self, key: Key) -> None:
        lease = self._lease(key)
        with lease.lock, suppress(TableUnavailable):
            self._end(key, lease, used=True)

    def _write(self, key: Key, lease: Lease, *, asking: bool = False, further: bool = False) -> None:
        """Update this process's line in the ledger of ``key``; ``asking`` for one more place."""
        now, began = self._wall_clock(), self._clock()
        totals = self._limit.totals(key)
        unreported = totals[0] - lease.requests, totals[1] - lease.received
        due = began - lease.renewed_at >= self._seconds / RENEWALS
        seconds = self._seconds if lease.renewals else FIRST_LOOKS * self._seconds / LOOKS

        def decide(text: str | None) -> tuple[Change | None, tuple[Ledger, int, bool]]:
            ledger = Ledger.load(text, now, skew=self._seconds * SKEW_SHARE)
            before = ledger.parties.get(self._name)
            # Not before the ledger was read: the files that began to ask meanwhile have their places by this write.
            first, more = self._limit.needs(key)
            # Those that wait in the queue of the key are counted already; of them only the first one asks.
            needs = first + (lease.asking if asking and not key.waiting else 0), more + int(asking and further)
            if before is None and len(ledger.parties) >= MOST_PARTIES:
                return None, (ledger, 0, False)
            had = before.places if before is not None else 0
            since = before.since if before is not None else now
            ledger.parties[self._name] = Party(had, *needs, since, now + seconds)
            allowed = had - ledger.owed(self._name, key.limit)
            if allowed == had and (asking or had < key.used):
                allowed = min(had + ledger.free(key.limit), max(had, ledger.share(self._name, key.limit)))
            # A connection that is open keeps its place until it is closed. Nobody may open another one from now on.
            places = min(max(allowed, self._limit.shrink(key, allowed)), max(had, allowed))
            if (places > 0) != (had > 0):
                since = now
            ledger.parties[self._name] = Party(places, *needs, since, now + seconds)
            changed = before is None or (before.places, before.first, before.further) != (places, *needs)
            write = due or (changed and (asking or places != had)) or (before is not None and before.until < now)
            if not write:
                return None, (ledger, allowed, False)
            ledger.requests += unreported[0]
            ledger.received += unreported[1]
            return Change(ledger.dump(), self._expires_at(now)), (ledger, allowed, True)

        ledger, allowed, written = change(lease.records, _record(key), decide, now=now)
        lease.alone = len(ledger.parties) == 1
        lease.minute, lease.minute_requests = ledger.minute, ledger.requests
        lease.day, lease.day_received = ledger.day, ledger.received
        if written:
            lease.until, lease.renewed_at = now + seconds, began
            lease.requests, lease.received = totals
            lease.renewals += 1
        self._limit.allow(key, allowed)

    def _end(self, key: Key, lease: Lease, *, used: bool = False) -> None:
        """Hand back all places of ``key``, unless it has come into use again and ``used`` is False."""
        now = self._wall_clock()
        if self._limit.shrink(key, 0) and not used:
            return
        requests, received = self._limit.totals(key)

        def decide(text: str | None) -> tuple[Change | None, None]:
            ledger = Ledger.load(text, now, skew=self._seconds * SKEW_SHARE)
            ledger.parties.pop(self._name, None)
            ledger.requests += requests - lease.requests
            ledger.received += received - lease.received
            return Change(ledger.dump(), self._expires_at(now)), None

        lease.records.skip_read = lease.alone
        change(lease.records, _record(key), decide, now=now)
        lease.requests, lease.received, lease.until = requests, received, 0.0
        self._forget(key, lease)

    def _forget(self, key: Key, lease: Lease) -> None:
        self._limit.shrink(key, 0)
        unreported = self._unreported(key, lease)
        if self._limit.forget(key):
            with self._lock:
                self._leases.pop(key.name, None)
                if any(unreported) and len(self._unreported_of) < MOST_REMEMBERED:
                    self._unreported_of[key.name] = unreported

    def _expires_at(self, now: float) -> float:
        # The counts of a day matter until it is over.
        return (now // DAY + 1) * DAY + self._seconds if self._bytes_per_day else now + MINUTE + self._seconds

    def _lease(self, key: Key) -> Lease:
        with self._lock:
            if not self._kept:
                self._kept = True
                self._in_background(self._keep)
            if key.name not in self._leases:
                requests, received = self._unreported_of.pop(key.name, (0, 0))
                records = _OneLedger(self._records)
                self._leases[key.name] = Lease(records=records, requests=-requests, received=-received)
            return self._leases[key.name]

    def _keep(self) -> None:
        while True:
            self._wake.wait(self._seconds / LOOKS)
            self._wake.clear()
            try:
                if self.tend():
                    continue
            except Exception:
                log.exception("cannot renew the leases of connections")
                continue
            with self._lock:
                if not self._leases:
                    self._kept = False
                    return


def _record(key: Key) -> str:
    # A host name may be longer than a record's key.
    return f"origin:{hashlib.sha256(key.name.encode()).hexdigest()[:40]}"
