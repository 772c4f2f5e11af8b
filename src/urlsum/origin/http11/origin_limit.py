"""The limit of connections to one origin: a place for each open connection, by the origin's name and its address.

Every connection has a place under two keys: its origin (scheme, host and port), and the address that it leads to. A
server cannot tell its names apart, so a limit by name alone would be none: any number of names may lead to it. A place
is taken before the connection is opened and given back when it is closed; an idle connection in the pool keeps it.

A first connection of a file waits for a turn, further ones do not: while somebody waits, no file gets a further one,
and those that are open end with their part. How many places this process has is up to ``Shares``: alone, all of them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from urlsum.errors import OriginBusy
from urlsum.origin.guard.addresses import why_special

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.addresses import Address
    from urlsum.origin.guard.url import Target

# The longest wait for a turn, after which the task is put off. Another process looks every second for those who wait,
# once for the name and once for the address, and a further connection of another file ends with its part, which takes
# half a second: so four seconds bring a turn if one is to be had, less than a slow connection takes to open.
TURN_SECONDS = 4.0
# Only one file waits for an origin whose connections stay open; the others leave their slots to other origins. Where
# connections come and go faster than this, as with small files, everybody waits.
TURNOVER_SECONDS = 0.5
# How often a file that waits looks for places of other processes, and for its deadline.
LOOK_SECONDS = 0.25


class Key(Struct, eq=False):
    """What a limit counts: the connections to one name or one address, and the requests and bytes over them.

    ``allowed`` is how many connections this process may have, and ``used`` how many it has. ``requests`` and
    ``received`` (bytes) are what closed connections brought. ``limited`` is whether these are limited, too. ``left_at``
    is when the last connection was closed, or, before the first one is, when the key came into use: nobody can tell
    then whether connections come and go.
    """

    name: str
    limit: int
    limited: bool = False
    allowed: int = 0
    used: int = 0
    requests: int = 0
    received: int = 0
    left_at: float = 0.0
    waiting: deque[Turn] = field(default_factory=deque)
    places: set[Place] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a place, in this process or, because the share has shrunk, in another."""
        return bool(self.waiting) or self.used > self.allowed


class Shares(Protocol):
    """How many places of each key this process may use. Every method may be called from any thread."""

    def bind(self, limit: OriginLimit) -> None:
        """Serve ``limit`` from now on."""
        ...

    def ask(self, key: Key, *, further: bool) -> bool:
        """Raise ``key.allowed`` if that is possible; return whether there is a place, unless another thread took it.

        ``further``: not for the first connection of a file.
        """
        ...

    def check(self, key: Key) -> None:
        """Raise OriginBusy if a new file must not be opened now, for its requests or bytes."""
        ...

    def freed(self, key: Key) -> bool:
        """Note that ``key`` has one connection less or one file less that waits; return whether it may be forgotten."""
        ...


class AllPlaces:
    """The shares of a process that has every origin to itself."""

    def bind(self, limit: OriginLimit) -> None:
        """Serve ``limit``."""

    def ask(self, key: Key, *, further: bool) -> bool:  # noqa: ARG002 - the protocol's
        """Allow the whole limit."""
        key.allowed = key.limit
        return key.used < key.limit

    def check(self, key: Key) -> None:
        """Open any file."""

    def freed(self, key: Key) -> bool:  # noqa: ARG002 - the protocol's
        """Forget it."""
        return True


class NoPlace(OriginBusy):
    """``key`` has no place for a connection now."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key.limit} connections to {key.name} are open")
        self.key = key


class AddressFull(OSError):
    """The address has no place for another connection now; another address of the name may have one."""


class Turn:
    """A file's wait for a turn at one origin, until ``deadline``; ``heartbeat`` is called meanwhile."""

    def __init__(self, limit: OriginLimit, deadline: Deadline, heartbeat: Callable[[], None]) -> None:
        self._limit = limit
        self._deadline = deadline
        self._heartbeat = heartbeat
        self._until: float | None = None

    def wait(self, full: NoPlace) -> None:
        """Return when ``full``, which ended the last try, may have passed. Raises it when that takes too long."""
        clock = self._deadline.clock
        self._until = clock() + TURN_SECONDS if self._until is None else self._until
        if not self._limit.join(full.key, self):
            raise full
        while True:
            self._heartbeat()
            if self._deadline.expired or clock() >= self._until:
                raise full
            if self._limit.wait(full.key, self, LOOK_SECONDS):
                return

    def end(self) -> None:
        """Leave the queue."""
        if self._until is not None:
            self._limit.leave(self)


class Place(Struct, eq=False):
    """The place of one connection. ``requests`` and ``received`` (bytes) are counted by its one user, without a lock.

    ``turn`` is None for a further connection of a file. ``refused`` is the last address that had no place. ``idle``:
    the connection is in the pool. ``address`` is the one that was admitted last: the one of an open connection.
    """

    limit: OriginLimit
    port: int
    turn: Turn | None
    address: Address | None = None
    keys: list[Key] = field(default_factory=list)
    refused: Key | None = None
    requests: int = 0
    received: int = 0
    idle: bool = False
    released: bool = False

    def admit(self, address: Address) -> None:
        """Take the place at ``address`` as well, instead of at one that was tried before. Raises AddressFull."""
        self.limit.admit(self, address)
        self.address = address

    def release(self) -> None:
        """Give the place back. Idempotent."""
        self.limit.release(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return any(key.wanted for key in self.keys)

    @property
    def surplus(self) -> bool:
        """Whether this process has more places than its share, so that the connection must not stay open for later."""
        return any(key.used > key.allowed for key in self.keys)


class OriginLimit:
    """The places of this process. Safe for many threads.

    ``drop_idle`` closes an idle connection that has a place of the key, and returns whether there was one;
    ``drop_stale`` closes those that were idle for too long.
    """

    def __init__(
        self,
        *,
        per_origin: int,
        per_address: int,
        drop_idle: Callable[[Key], bool],
        drop_stale: Callable[[], None],
        shares: Shares | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_origin = per_origin
        self._per_address = per_address
        self._drop_idle = drop_idle
        self.drop_stale = drop_stale
        self._shares = shares or AllPlaces()
        self._clock = clock
        self._pooled = 0
        self._keys: dict[str, Key] = {}
        self._changed = threading.Condition()
        self._shares.bind(self)

    def turn(self, deadline: Deadline, heartbeat: Callable[[], None]) -> Turn:
        """A wait for a turn that has not begun yet."""
        return Turn(self, deadline, heartbeat)

    def reserve(self, target: Target, turn: Turn | None) -> Place:
        """A place at the origin of ``target``, not yet at an address. Without ``turn``, a further one of its file.

        Raises NoPlace.
        """
        place = Place(self, target.port, turn)
        scheme, host, port = target.origin
        key = Key(f"{scheme}://{host}:{port}", self._per_origin)
        if full := self._take(place, key):
            raise NoPlace(full)
        return place

    def admit(self, place: Place, address: Address) -> None:
        """Take the place at ``address`` too, instead of at an earlier one. Raises AddressFull."""
        with self._changed:
            self._give_back(place, place.keys[1:])
            del place.keys[1:]
        special = why_special(address) is not None
        # Only an operator opens addresses that are not public, and one of them may be many servers, each on its port:
        # loopback, or the address of a proxy.
        name = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        key = Key(f"{name}:{place.port}" if special else name, self._per_address, limited=not special)
        place.refused = self._take(place, key)
        if place.refused is not None:
            raise AddressFull(f"{key.limit} connections to it are open")

    def check(self, place: Place) -> None:
        """Check that a new file may be opened over the connection of ``place``. Raises OriginBusy."""
        if any(key.limited for key in place.keys):
            for key in place.keys:
                self._shares.check(key)

    def release(self, place: Place) -> None:
        """Give ``place`` back."""
        with self._changed:
            if not place.released:
                place.released = True
                self._give_back(place, place.keys)

    def join(self, key: Key, turn: Turn) -> bool:
        """Put ``turn`` into the queue of ``key``, None other; False if the file must not wait for that."""
        with self._changed:
            if turn in key.waiting:
                return True
            self.leave(turn)
            if key.waiting and self._clock() - key.left_at > TURNOVER_SECONDS:
                return False
            key.waiting.append(turn)
            return True

    def wait(self, key: Key, turn: Turn, seconds: float) -> bool:
        """Wait up to ``seconds`` for a place of ``key`` or a pooled connection; return whether there may be one."""
        with self._changed:
            pooled = self._pooled
            self._changed.wait_for(lambda: self._pooled != pooled or _has_room(key, turn), seconds)
            if self._pooled != pooled or _has_room(key, turn):
                return True
            if not key.waiting or key.waiting[0] is not turn:
                return False
        return self._drop_idle(key) or self._shares.ask(key, further=False)

    def leave(self, turn: Turn) -> None:
        """Remove ``turn`` from the queue that it is in."""
        with self._changed:
            for key in list(self._keys.values()):
                if turn in key.waiting:
                    key.waiting.remove(turn)
                    self._freed(key)
                    self._changed.notify_all()

    def pooled(self) -> None:
        """Wake those who wait: a connection has come into the pool."""
        with self._changed:
            self._pooled += 1
            self._changed.notify_all()

    def in_use(self) -> list[Key]:
        """The keys that are in use, or were a moment ago."""
        with self._changed:
            return list(self._keys.values())

    def needs(self, key: Key) -> tuple[int, int]:
        """How many connections files use now or wait for: their first ones, and further ones."""
        with self._changed:
            used = [place for place in key.places if not place.idle]
            further = sum(place.turn is None for place in used)
            return len(used) - further + len(key.waiting), further

    def allow(self, key: Key, allowed: int) -> None:
        """Change the share of this process."""
        with self._changed:
            key.allowed = allowed
            self._changed.notify_all()

    def shrink(self, key: Key, allowed: int) -> int:
        """Allow at most ``allowed`` connections from now on; return how many there are."""
        with self._changed:
            key.allowed = min(key.allowed, allowed)
            return key.used

    def forget(self, key: Key) -> bool:
        """Forget a key whose places were handed back; return False if it is in use again."""
        with self._changed:
            if key.used or key.waiting:
                return False
            self._keys.pop(key.name, None)
            return True

    def totals(self, key: Key) -> tuple[int, int]:
        """The requests and the bytes over all connections of ``key`` so far."""
        with self._changed:
            requests = key.requests + sum(place.requests for place in key.places)
            return requests, key.received + sum(place.received for place in key.places)

    def close_idle(self, key: Key) -> bool:
        """Close an idle connection that has a place of ``key``; return whether there was one."""
        return self._drop_idle(key)

    def _take(self, place: Place, wanted: Key) -> Key | None:
        """Take a place of ``wanted`` for ``place``, from those that this process has, an idle connection or the shares.

        Returns the key if it is full.
        """
        further = place.turn is None
        while True:
            with self._changed:
                key = self._keys.get(wanted.name)
                if key is None:
                    key = self._keys[wanted.name] = wanted
                    key.left_at = self._clock()
                if key.waiting and key.waiting[0] is not place.turn:
                    return key
                if key.used < key.allowed:
                    key.used += 1
                    key.places.add(place)
                    place.keys.append(key)
                    return None
            if not self._drop_idle(key) and not self._shares.ask(key, further=further):
                return key

    def _give_back(self, place: Place, keys: list[Key]) -> None:
        for key in keys:
            key.used -= 1
            key.left_at = self._clock()
            key.places.discard(place)
            key.requests += place.requests
            key.received += place.received
            self._freed(key)
        self._changed.notify_all()

    def _freed(self, key: Key) -> None:
        if self._shares.freed(key) and not key.used and not key.waiting:
            self._keys.pop(key.name, None)


def _has_room(key: Key, turn: Turn) -> bool:
    return bool(key.waiting) and key.waiting[0] is turn and key.used < key.allowed
