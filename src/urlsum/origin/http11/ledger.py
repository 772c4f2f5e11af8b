"""The ledger of one key: which processes of the deployment have how many connections to an origin or an address.

Pure: text in, text out; times are seconds since the epoch and come from the caller. A process writes only its own line,
and takes no more places than the others leave. Places are shared so that the process with the fewest gets the next one
(max-min fairness), first connections of files before further ones. Where processes are more than places, those who wait
come before those who have one, so that the places go round.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE = 60
DAY = 86_400
# With 60 bytes for each, a full ledger is a third of what a record may have. A process that finds no line waits as if
# it had found no place.
MOST_PARTIES = 300


class Party(Struct, frozen=True):
    """A process: the ``places`` that it has, and how many connections it needs for first and further ones of files.

    ``since`` is when it got its first place or, without one, began to wait. After ``until`` it is dead.
    """

    places: int
    first: int
    further: int
    since: float
    until: float


class Ledger(Struct):
    """The living processes by id, and what all of them requested in a ``minute`` and received (bytes) in a ``day``."""

    parties: dict[str, Party] = field(default_factory=dict)
    minute: int = 0
    requests: int = 0
    day: int = 0
    received: int = 0

    @classmethod
    def load(cls, text: str | None, now: float, *, skew: float) -> Ledger:
        """The ledger in ``text``, without those who are dead for ``skew`` seconds: clocks differ by as much.

        A text that is no ledger is an empty one: it can only have been written by hand.
        """
        ledger = cls(minute=int(now // MINUTE), day=int(now // DAY))
        try:
            values = json.loads(text or "{}")
            parties = {name: Party(*line) for name, line in values.get("parties", {}).items()}
            ledger.parties = {name: party for name, party in parties.items() if party.until + skew > now}
            if values.get("minute") == ledger.minute:
                ledger.requests = int(values["requests"])
            if values.get("day") == ledger.day:
                ledger.received = int(values["received"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(minute=ledger.minute, day=ledger.day)
        return ledger

    def dump(self) -> str:
        """The ledger as a text for ``load``."""
        lines = {
            name: [party.places, party.first, party.further, round(party.since, 2), round(party.until, 2)]
            for name, party in self.parties.items()
        }
        values = {
            "parties": lines,
            "minute": self.minute,
            "requests": self.requests,
            "day": self.day,
            "received": self.received,
        }
        return json.dumps(values, separators=(",", ":"))

    def free(self, limit: int) -> int:
        """The places that nobody has."""
        return max(0, limit - sum(party.places for party in self.parties.values()))

    def share(self, name: str, limit: int) -> int:
        """How many of ``limit`` places the process ``name`` should have, by what all of them need."""
        return _shares(self.parties, limit)[name]

    def owed(self, name: str, limit: int) -> int:
        """How many places the process ``name`` should give back, because others have less than their share."""
        shares = _shares(self.parties, limit)
        missing = sum(max(0, shares[other] - party.places) for other, party in self.parties.items() if other != name)
        return max(0, min(missing - self.free(limit), self.parties[name].places - shares[name]))


def _shares(parties: dict[str, Party], limit: int) -> dict[str, int]:
    order = sorted(parties, key=lambda name: _rank(parties[name]))
    given = dict.fromkeys(order, 0)
    left = _deal(given, {name: parties[name].first for name in order}, order, limit)
    _deal(given, {name: parties[name].first + parties[name].further for name in order}, order, left)
    return given


def _rank(party: Party) -> tuple[bool, float]:
    return (False, party.since) if not party.places else (True, -party.since)


def _deal(given: dict[str, int], needs: dict[str, int], order: Iterable[str], left: int) -> int:
    """Give the places ``left`` to those who have fewest of what they need; return what is left then."""
    level = 1
    while left and any(given[name] < needs[name] for name in order):
        for name in order:
            if left and given[name] < min(level, needs[name]):
                given[name] += 1
                left -= 1
        level += 1
    return left
