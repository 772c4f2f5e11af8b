"""Decides how many connections read one file, and whether a second thread receives.

The controller is a hill climber. It starts with one connection and measures the total throughput. Once that is steady,
it doubles the connections, waits until the new ones are up to speed, and measures again: a gain of MIN_GAIN keeps them
and leads to the next doubling; a smaller gain takes the step back. It reads a fast origin with one connection after a
trial, and an origin that throttles each connection with all that are allowed, within a fifth of a second. To a far
origin one step goes to all of them, because each step costs a slow start there.

- If the reader never waits (MD5 is the bottleneck), more connections gain nothing: no trial upwards. After a while half
  the number is tried, because a file's first second may mislead, and each connection costs CPU time.
- A refusal (429, 503, a connection that is not accepted) halves the number and suspends trials for a while.
- Throughput below DROP_SHARE of the rate that a step was kept for halves the number on trial: fewer connections with
  the same throughput stay; otherwise the network itself is slower, and the number comes back. If the rate of a single
  connection drops so (TCP was measured before its first loss), a trial upwards follows at once.
- Trials become ever rarer. They never end, because networks change in the hours that a large file takes.

Pure: time in seconds and counts of bytes come from the caller.
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

# The minimum gain that keeps a step. On one core four connections cost 15 % more CPU time than one, and repeated
# measurements differ by up to 10 %.
MIN_GAIN = 1.10
# A gain that needs no settling: a doubling that is half-way there after a moment pays.
CLEAR_GAIN = 1.5
# Halfway between a clear gain and the most that a doubling can bring.
PLAIN_GAIN = 1.75
# Below this share of an earlier measurement, the origin or the network has changed.
DROP_SHARE = 0.6
# A drop lasts at least this long, because a single hiccup proves nothing; on a far network as long as a trial takes: a
# connection that waits for the retransmission of a lost packet holds up all others for a second.
DROP_SECONDS = 1.0
# The time of one measurement. At 20 MB/s this is 4 MB, some 250 TLS records: enough to be within a few per cent.
MEASURE_SECONDS = 0.2
# The same while connections to a near origin are first added, as long as each doubling is a clear gain: fewer bytes
# cannot hide that. A file of 384 MiB at 20 MB/s per connection takes 2.5 s with eight; the climb to them cost 0.6 s of
# that rate with 0.2 s for each step, and 0.2 s with this.
CLIMB_SECONDS = 0.075
# A sequential test: a doubling that nearly doubles the rate needs no more than this, and the climb costs 0.12 s. The
# first window of a new connection, ten segments or 15 KB (RFC 6928), looks like such a gain only below 0.4 MB/s.
SOON_SECONDS = 0.05
# The first step is hurried only where the reader waits for more than this share of the time. The first moments of a
# fast origin mislead: threads start, and a wait of 5 ms is a tenth of such a window.
HURRIED_SHARE = 0.5
# A reader that has not waited so for this long is in no hurry: it takes the same windows as all later steps.
HURRY_SECONDS = 0.2
# A connection needs a round trip to open, one for the request, and some six doublings of TCP's window (RFC 6928: ten
# segments) until it carries a few megabytes a round trip.
SETTLE_LATENCIES = 8
# Several connections that start together compete, the stream that was split for them starts again, and CUBIC leaves
# slow start early: over 80 ms and 1 Gbit/s two connections took 2.5 s to reach the throughput of one.
TRIAL_LATENCIES = 32
MIN_SETTLE_SECONDS = 0.1
# An origin that takes long for each response has a latency that is not the network's.
MAX_SETTLE_SECONDS = 3.0
# From this latency on, a step goes to all connections that are allowed: 20 ms are another country. One connection
# carries at most its sender's buffer per round trip (4 MB by Linux's default), so several nearly always pay.
FAR_SECONDS = 0.02
# The time after a trial until a drop of a single connection may start the next one.
DROP_TRIAL_SECONDS = 5.0
# What two looks are apart at least. Below that the share of the time that the reader waited is noise.
CLOCK_SECONDS = 0.001
# The reader is the bottleneck when it waits for less than this share of the time.
IDLE_SHARE = 0.1
# The pause after a failed trial, doubled each time up to the maximum: trials cost below 1 %.
FIRST_PAUSE_SECONDS = 30.0
MAX_PAUSE_SECONDS = 480.0


class _Phase(Enum):
    STEADY = "steady"
    UP = "up"
    DOWN = "down"


class ConcurrencyController:
    """``target`` is the number of connections to use now, from 1 to ``most``.

    ``latency`` is the time to the first response, in seconds, and ``now`` the time when its body began. ``received``
    bytes of it came before those that ``observe`` counts. The reader's waits count from ``waits_since`` on (default:
    ``now``).
    """

    def __init__(
        self, most: int, *, latency: float, now: float, received: int = 0, waits_since: float | None = None
    ) -> None:
        self.target = 1
        self._most = most
        self._near = latency < FAR_SECONDS  # a trial downwards to a far origin would cost more than it can save
        self._climbing = self._near and most > 1  # until a doubling is no clear gain, or there is none left
        self._settle = _bounded(latency * SETTLE_LATENCIES)
        self._settle_trial = _bounded(latency * TRIAL_LATENCIES)
        self._settle_first = latency * SETTLE_LATENCIES  # from some milliseconds on, where the origin is near
        self._hurried_until = now + self._settle_first + HURRY_SECONDS
        self._waits_since = now if waits_since is None else waits_since
        self._step = 2 if self._near else most
        self._phase = _Phase.STEADY
        self._kept = 1  # the number before the trial
        self._rate: float | None = None  # of ``_kept`` connections, bytes per second
        self._since = now  # start of this phase
        self._not_before = now  # earliest time of the next trial upwards
        self._pause = FIRST_PAUSE_SECONDS
        self._refused_at = -math.inf
        self._dropped_at: float | None = None
        self._samples: deque[tuple[float, int, float]] = deque([(now, -received, 0.0)])

    @property
    def climbing(self) -> bool:
        """Whether the first connections to a near origin are being added, so that each late look costs throughput."""
        return self._climbing

    @property
    def rate_per_connection(self) -> float | None:
        """Bytes per second of one connection by the last measurement; None before the first."""
        return None if self._rate is None else self._rate / self._kept

    def observe(self, now: float, count: int, waited: float) -> int:
        """Update with the totals so far: ``count`` bytes received, ``waited`` seconds that the reader waited.

        Returns ``target``.
        """
        self._samples.append((now, count, waited))
        measure = SOON_SECONDS if self._climbing else MEASURE_SECONDS
        while len(self._samples) > 2 and now - self._samples[1][0] >= measure:  # noqa: PLR2004 - two points
            self._samples.popleft()
        start, before, idle_before = self._samples[0]
        elapsed = now - start
        if elapsed < measure or start < self._since:
            return self.target
        rate = (count - before) / elapsed
        idle = (waited - idle_before) / max(now - max(start, self._waits_since), CLOCK_SECONDS)
        settled = now - self._since >= self._settle_now + measure
        match self._phase:
            case _Phase.UP:
                self._judge_increase(now, rate, settled=settled)
            case _Phase.DOWN if settled:
                self._judge_decrease(now, rate)
            case _Phase.STEADY if settled:
                self._check_steady(now, rate, idle)
        return self.target

    @property
    def _settle_now(self) -> float:
        """Seconds until the connections of this phase are up to speed."""
        if self._phase is not _Phase.STEADY:
            return self._settle_trial
        return self._settle_first if self._climbing else self._settle

    def refused(self, now: float, pause: float | None = None) -> None:
        """The origin refused or broke a connection; its Retry-After was ``pause`` seconds."""
        self._climbing = False
        # Several refusals together count once.
        if now - self._refused_at < self._settle + MEASURE_SECONDS:
            return
        self._refused_at = now
        self._kept = max(1, min(self._kept, self.target // 2))
        self._keep(now, self._kept, None)
        self._not_before = now + max(self._pause, pause or 0.0)
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)

    def _judge_increase(self, now: float, rate: float, *, settled: bool) -> None:
        kept_rate = self._rate or 0.0
        soon = self._climbing and now - self._since < CLIMB_SECONDS
        if rate >= kept_rate * (PLAIN_GAIN if soon else CLEAR_GAIN) or (settled and rate >= kept_rate * MIN_GAIN):
            self._keep(now, self.target, rate)
            self._try_increase(now)
        elif self._climbing and not soon:
            self._climbing = False  # from now on measured as long as a small gain needs
        elif settled:
            self._keep(now, self._kept, kept_rate)
            self._delay_next_trial(now)

    def _judge_decrease(self, now: float, rate: float) -> None:
        if rate * MIN_GAIN >= (self._rate or 0.0):
            self._keep(now, self.target, rate)
        else:
            # The network is slower with any number of connections: the rate is measured again.
            self._keep(now, self._kept, None)
        self._delay_next_trial(now)

    def _check_steady(self, now: float, rate: float, idle: float) -> None:
        if self._climbing and idle < HURRIED_SHARE:
            self._climbing = now < self._hurried_until
            return
        if self._rate is None:
            self._rate = rate
        dropped_at, self._dropped_at = self._dropped_at, None
        if rate < self._rate * DROP_SHARE and now >= min(self._not_before, self._since + self._drop_trial_seconds()):
            self._dropped_at = now if dropped_at is None else dropped_at
            if now - self._dropped_at >= max(DROP_SECONDS, self._settle_trial):
                self._rate = rate
                if self.target > 1:
                    self._begin_trial(now, _Phase.DOWN, max(1, self.target // 2))
                elif idle >= IDLE_SHARE:
                    self._try_increase(now)
        elif idle >= IDLE_SHARE and now >= self._not_before and self.target < self._most:
            self._rate = rate
            self._try_increase(now)
        elif idle < IDLE_SHARE and self.target > 1 and self._near and now >= self._since + self._pause:
            self._rate = rate
            self._begin_trial(now, _Phase.DOWN, self.target // 2)
        else:
            self._rate = max(self._rate, rate)

    def _drop_trial_seconds(self) -> float:
        """Seconds after the last trial until a drop may start the next."""
        return DROP_TRIAL_SECONDS if self.target == 1 and self._refused_at == -math.inf else math.inf

    def _try_increase(self, now: float) -> None:
        if self.target < self._most:
            self._begin_trial(now, _Phase.UP, min(self.target * self._step, self._most))
        else:
            self._climbing = False

    def _begin_trial(self, now: float, phase: _Phase, target: int) -> None:
        self._phase, self._kept, self.target, self._since = phase, self.target, target, now

    def _keep(self, now: float, target: int, rate: float | None) -> None:
        self._phase, self._kept, self.target, self._rate, self._since = _Phase.STEADY, target, target, rate, now

    def _delay_next_trial(self, now: float) -> None:
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)


def _bounded(settle: float) -> float:
    return min(max(settle, MIN_SETTLE_SECONDS), MAX_SETTLE_SECONDS)


def cpus() -> int:
    """The number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ReadAheadPolicy:
    """Decides for one file whether a second thread should receive, or one thread receive and hash in turns.

    ``busy`` is the CPU time of the calling thread; both clocks are in seconds.
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
        """Whether to start a second thread now.

        On one CPU, hand-overs between two threads cost some 5 %, and each byte leaves the cache between them. That pays
        if the thread waits for the network, by the same IDLE_SHARE that decides about connections.
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
