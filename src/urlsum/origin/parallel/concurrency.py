"""How many connections read one file, and whether a second thread receives: the one place where that is decided.

The controller climbs. It starts with one connection and measures what all of them bring together. Once that is steady
it doubles them, waits until the new ones are up to speed, and measures again: a gain of WORTHWHILE keeps them and
leads to the next doubling, anything less takes the step back. An origin that is fast by itself is read with one
connection and a trial, one that throttles each connection with all that are allowed, within a second. To a far origin
it is one step to all of them, because each step costs a slow start there.

- A reader that never waits (MD5 is the bottleneck) gains nothing by faster fetching: no trial upwards. After a while
  half the number is tried, because a file's first second may have misled, and each connection costs CPU time.
- A refusal (429, 503, a connection that is not accepted) halves the number and rules out trials for a while.
- Throughput below FALLEN of what a step was kept for halves the number on trial: fewer connections that bring as much
  stay; otherwise the line itself is slower, and the number comes back. A single connection that falls so (TCP measured
  it before its first loss) leads to a trial upwards at once.
- Later trials are ever rarer. They remain, because lines change in the hours that a large file takes.

Pure: the caller's clock in seconds, the caller's count of bytes.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# What a step must bring: FACTS show that on one core four connections cost 15 % against one, and within a tenth
# two measurements of the same thing differ.
WORTHWHILE = 1.10
# A gain that nobody needs to wait for: a doubling that is half-way there after a moment is worth it.
PLAIN = 1.5
# Below this share of what was measured once, the origin or the line has changed.
FALLEN = 0.6
# For this long at least, because a single hiccup says nothing; on a far line for as long as a step takes to be judged:
# a connection that waits for a lost packet to be sent again holds up all the others for a second.
FALLEN_SECONDS = 1.0
# How long is measured. At 20 MB/s this is 4 MB, some 250 records of TLS: enough to be within a few per cent.
MEASURE_SECONDS = 0.2
# A connection needs a round trip to open, one to ask, and some six doublings of TCP's window (RFC 6928: ten segments)
# until it carries a few megabytes a round trip.
SETTLE_LATENCIES = 8
# Several that come up at once get in one another's way, the stream that was cut off for them begins anew, and CUBIC
# leaves slow start early: over 80 ms and 1 Gbit/s it took 2.5 s until two brought what one had brought.
TRIAL_LATENCIES = 32
LEAST_SETTLE_SECONDS = 0.1
# An origin that thinks for long before each answer has a latency that is not the line's.
MOST_SETTLE_SECONDS = 3.0
# From this latency on, a step goes to all connections that are allowed: 20 ms are another country. One connection
# carries at most its sender's buffer per round trip (4 MB by Linux's default), so several are nearly always worth it.
FAR_SECONDS = 0.02
# How long after a trial a single connection that has fallen may lead to the next.
AGAIN_SECONDS = 5.0
# The reader is the bottleneck when it waits for less than this share of the time.
IDLE_SHARE = 0.1
# From a trial that failed to the next, doubled each time up to the most: what they cost stays below 1 %.
FIRST_PAUSE_SECONDS = 30.0
MOST_PAUSE_SECONDS = 480.0


class _Phase(Enum):
    STEADY = "steady"
    UP = "up"
    DOWN = "down"


class ConcurrencyController:
    """``target`` is how many connections are wanted now, from 1 to ``most``.

    ``latency`` is what an answer was waited for, in seconds.
    """

    def __init__(self, most: int, *, latency: float, now: float) -> None:
        self.target = 1
        self._most = most
        self._settle = _bounded(latency * SETTLE_LATENCIES)
        self._settle_trial = _bounded(latency * TRIAL_LATENCIES)
        self._near = latency < FAR_SECONDS  # a trial downwards to a far origin would cost more than it can save
        self._step = 2 if self._near else most
        self._phase = _Phase.STEADY
        self._kept = 1  # what a trial goes back to
        self._rate: float | None = None  # what ``_kept`` connections brought, bytes per second
        self._since = now  # of this phase
        self._not_before = now  # of the next trial upwards
        self._pause = FIRST_PAUSE_SECONDS
        self._refused_at = -math.inf
        self._fallen_at: float | None = None
        self._samples: deque[tuple[float, int, float]] = deque([(now, 0, 0.0)])

    @property
    def each(self) -> float | None:
        """What one connection brings, in bytes per second, by the last measurement; None before the first."""
        return None if self._rate is None else self._rate / self._kept

    def observe(self, now: float, count: int, waited: float) -> int:
        """Take in that ``count`` bytes have come in all, and that the reader has waited for ``waited`` seconds in all.

        Returns ``target``.
        """
        self._samples.append((now, count, waited))
        while len(self._samples) > 2 and self._samples[1][0] <= now - MEASURE_SECONDS:  # noqa: PLR2004 - two points
            self._samples.popleft()
        start, before, idle_before = self._samples[0]
        elapsed = now - start
        if elapsed < MEASURE_SECONDS or start < self._since:
            return self.target
        rate, idle = (count - before) / elapsed, (waited - idle_before) / elapsed
        settle = self._settle if self._phase is _Phase.STEADY else self._settle_trial
        settled = now - self._since >= settle + MEASURE_SECONDS
        match self._phase:
            case _Phase.UP:
                self._judge_more(now, rate, settled=settled)
            case _Phase.DOWN if settled:
                self._judge_fewer(now, rate)
            case _Phase.STEADY if settled:
                self._look(now, rate, idle)
        return self.target

    def refused(self, now: float, pause: float | None = None) -> None:
        """The origin turned a connection away, or broke it; it asked to be left alone for ``pause`` seconds."""
        # Several that are turned away together say it once.
        if now - self._refused_at < self._settle + MEASURE_SECONDS:
            return
        self._refused_at = now
        self._kept = max(1, min(self._kept, self.target // 2))
        self._stay(now, self._kept, None)
        self._not_before = now + max(self._pause, pause or 0.0)
        self._pause = min(self._pause * 2, MOST_PAUSE_SECONDS)

    def _judge_more(self, now: float, rate: float, *, settled: bool) -> None:
        kept_rate = self._rate or 0.0
        if rate >= kept_rate * PLAIN or (settled and rate >= kept_rate * WORTHWHILE):
            self._stay(now, self.target, rate)
            self._try_more(now)
        elif settled:
            self._stay(now, self._kept, kept_rate)
            self._put_off(now)

    def _judge_fewer(self, now: float, rate: float) -> None:
        if rate * WORTHWHILE >= (self._rate or 0.0):
            self._stay(now, self.target, rate)
        else:
            # The line is slower, with any number of connections: what it brings now is the new measure.
            self._stay(now, self._kept, None)
        self._put_off(now)

    def _look(self, now: float, rate: float, idle: float) -> None:
        if self._rate is None:
            self._rate = rate
        fallen, self._fallen_at = self._fallen_at, None
        if rate < self._rate * FALLEN and now >= min(self._not_before, self._since + self._allowance()):
            self._fallen_at = now if fallen is None else fallen
            if now - self._fallen_at >= max(FALLEN_SECONDS, self._settle_trial):
                self._rate = rate
                if self.target > 1:
                    self._begin(now, _Phase.DOWN, max(1, self.target // 2))
                elif idle >= IDLE_SHARE:
                    self._try_more(now)
        elif idle >= IDLE_SHARE and now >= self._not_before and self.target < self._most:
            self._rate = rate
            self._try_more(now)
        elif idle < IDLE_SHARE and self.target > 1 and self._near and now >= self._since + self._pause:
            self._rate = rate
            self._begin(now, _Phase.DOWN, self.target // 2)
        else:
            self._rate = max(self._rate, rate)

    def _allowance(self) -> float:
        """How long after the last trial a fall may begin the next."""
        return AGAIN_SECONDS if self.target == 1 and self._refused_at == -math.inf else math.inf

    def _try_more(self, now: float) -> None:
        if self.target < self._most:
            self._begin(now, _Phase.UP, min(self.target * self._step, self._most))

    def _begin(self, now: float, phase: _Phase, target: int) -> None:
        self._phase, self._kept, self.target, self._since = phase, self.target, target, now

    def _stay(self, now: float, target: int, rate: float | None) -> None:
        self._phase, self._kept, self.target, self._rate, self._since = _Phase.STEADY, target, target, rate, now

    def _put_off(self, now: float) -> None:
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, MOST_PAUSE_SECONDS)


def _bounded(settle: float) -> float:
    return min(max(settle, LEAST_SETTLE_SECONDS), MOST_SETTLE_SECONDS)


def cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ReadAheadPolicy:
    """Watches the one thread that receives and hashes in turns; for each file its own.

    ``busy`` is the CPU time of the calling thread, and both clocks are in seconds.
    """

    def __init__(
        self,
        available: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.thread_time,
    ) -> None:
        self._single = available == 1
        self._clock = clock
        self._busy = busy
        self._at, self._busy_at = clock(), busy()

    def should_read_ahead(self) -> bool:
        """Whether to begin with a second thread now.

        Threads that share one CPU cost some 5 % for handing over, and each byte leaves the cache between them. That is
        paid back when the line is waited for, by the measure that decides about connections, too.
        """
        if not self._single:
            return True
        now = self._clock()
        elapsed = now - self._at
        if elapsed < MEASURE_SECONDS:
            return False
        busy = self._busy()
        idle = 1 - (busy - self._busy_at) / elapsed
        self._at, self._busy_at = now, busy
        return idle >= IDLE_SHARE
