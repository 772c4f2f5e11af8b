"""Turns: when a running slice hands its task over, because others wait for a worker.

A multilevel feedback queue of two levels. First slices go before continuations, and their turn is shorter. A turn that
is over ends at the slice's next checkpoint; while nobody waits, a slice lasts SLICE_SECONDS.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from urlsum.queues import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urlsum.queues import TaskQueue

# The turn of a first slice while others wait: the time of its first checkpoint. Most files are done by then, and a
# queue of 64 slow origins is through in ten seconds.
FIRST_SECONDS = 1.0
# Continuations wait for so many turns before the others hand over to them. A minute, by default: two large files on
# one slot too few change seldom enough that the new connections cost little.
PATIENCE_TURNS = 6
# Once continuations have waited so long, turns are shorter: of 64 tasks on two workers each then has one every three
# minutes, with a second or two in which RQ starts a job.
LONG_QUEUE_SHARE = 0.4
# One slot in so many, and at least one, is kept for first slices, and as many for continuations.
SHARE = 4
# The interval of looks at the queue: one small request.
LOOK_SECONDS = 1.0


def share(slots: int) -> int:
    """How many of ``slots`` are kept for either kind."""
    return max(1, slots // SHARE)


class Turn:
    """One slice's turn. ``over`` may be read by the slice in one thread while another thread ends the turn."""

    def __init__(self, began: float = 0.0, *, continued: bool = False, ends_at: float = math.inf) -> None:
        self.began = began
        self.continued = continued
        self.ends_at = ends_at
        self.ended = False

    def over(self, now: float) -> bool:
        """Whether the slice is to hand over at its next checkpoint; ``now`` as ``ends_at`` on the monotonic clock."""
        return self.ended or now >= self.ends_at


class Turns:
    """The turns of the slices that run in this process. Safe for many threads.

    ``slots`` is how many can run; a quarter of them is kept for first slices, and a first slice that outlasts
    ``seconds`` (HAND_OVER_SECONDS) counts as a continuation. None keeps no slots: there are other processes.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float], *, slots: int | None = None) -> None:
        self._seconds = seconds
        self._first_seconds = min(FIRST_SECONDS, seconds)
        self._short_seconds = seconds * LONG_QUEUE_SHARE
        self._monotonic = monotonic
        self._slots = slots
        self._most_long = 0 if slots is None else max(1, slots - share(slots))
        # What the last look found.
        self._first_waits = self._continued_waits = False
        self._turns: set[Turn] = set()
        self._lock = threading.Lock()

    @property
    def patience(self) -> float:
        """Seconds that a continuation waits until running slices hand over."""
        return self._seconds * PATIENCE_TURNS

    @property
    def order(self) -> Order:
        """What a free slot should take next."""
        long = self._long()
        if self._slots is None or self._slots == 1:
            return Order.FIRST
        if len(long) >= self._most_long:
            return Order.FIRST_ONLY
        return Order.CONTINUED if sum(turn.continued for turn in long) < share(self._slots) else Order.FIRST

    def begin(self, *, continued: bool) -> Turn:
        """The turn of a slice that starts now."""
        turn = Turn(self._monotonic(), continued=continued)
        # More exactly than the next looks.
        if self._first_waits and not continued:
            turn.ends_at = turn.began + self._first_seconds
        elif self._continued_waits:
            turn.ends_at = turn.began + self._short_seconds
        with self._lock:
            self._turns.add(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """Forget the turn of a slice that has ended."""
        with self._lock:
            self._turns.discard(turn)

    def look(self, queue: TaskQueue, *, always: bool = False) -> None:
        """End the turns that are over because of what waits in ``queue``: as many as wait, the longest first.

        Asks the queue only if there is a turn that could be over, or ``always``. Raises QueueUnavailable.
        """
        long = self._long()
        if self._slots is not None:
            # The latest ones: they hold the slots that are kept for first slices.
            _end(turn for turn in long[self._most_long :] if not turn.continued)
        for_first = self._lasting(first=self._first_seconds, continued=self._seconds)
        for_continued = self._lasting(first=self._short_seconds, continued=self._short_seconds)
        if always or for_first or for_continued or self._first_waits or self._continued_waits:
            waiting = queue.count_waiting(self.patience)
            self._first_waits, self._continued_waits = bool(waiting.first), bool(waiting.continued)
            # Not those that were asked before: their origins may be silent.
            _end([turn for turn in for_first if not turn.ended][: waiting.first])
            _end([turn for turn in for_continued if not turn.ended][: waiting.continued])

    def _long(self) -> list[Turn]:
        """The turns of continuations, and the first slices that have had a whole turn; the latter last."""
        return sorted(self._lasting(first=self._seconds, continued=0.0), key=lambda turn: not turn.continued)

    def _lasting(self, *, first: float, continued: float) -> list[Turn]:
        """The turns that have lasted so many seconds, the longest first."""
        now = self._monotonic()
        with self._lock:
            turns = list(self._turns)
        lasting = [turn for turn in turns if now - turn.began >= (continued if turn.continued else first)]
        return sorted(lasting, key=lambda turn: turn.began)


def _end(turns: Iterable[Turn]) -> None:
    for turn in turns:
        turn.ended = True
