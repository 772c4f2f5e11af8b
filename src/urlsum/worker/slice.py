"""One task, one slice: claim → restore → stream → checkpoint → finish or hand over.

A slice ends in exactly one of these: the digest is recorded; the failure is recorded; the task is released for a
later try; the deadline came and the next slice resumes from the checkpoint; the lease is lost and nothing is written.
A killed process leaves its last checkpoint and a lease that lapses.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from urlsum.errors import (
    AnotherKind,
    Changed,
    DeadlineReached,
    FailureCode,
    Incomplete,
    LeaseLost,
    OriginBusy,
    OriginError,
    RangesFailed,
    StateError,
    TooLarge,
    TooSlow,
    Unsteady,
    UrlsumError,
)
from urlsum.md5 import MD5
from urlsum.task import Checkpoint, Failure, Task
from urlsum.text.format import human_bytes, shown_url
from urlsum.worker import retry, reuse, two_readings
from urlsum.worker.catch_up import CatchUp
from urlsum.worker.lease import LateClaims, Lease, claim
from urlsum.worker.throughput import Rate
from urlsum.worker.turns import FIRST_SECONDS, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.task import Representation
    from urlsum.worker.source import Source, Stream

log = logging.getLogger(__name__)

# A kill costs at most one checkpoint interval. On a 25 Gbit/s line 10 s would be 30 GiB of the origin's traffic, so
# bytes bound the interval too.
CHECKPOINT_BYTES = 4 * 2**30
# Time of a slice's first checkpoint, which is also the first progress that /check shows: early enough not to look
# stuck, and late enough that a small file needs no checkpoint. The intervals then double up to CHECKPOINT_SECONDS,
# which costs three or four writes more per slice.
FIRST_CHECKPOINT_SECONDS = 1.0
# How often a file of MAX_BYTES may be read for one task. Each restart reads it again, and so does each try on an origin
# without ranges; unbounded, one URL could keep a line busy for weeks.
READINGS = retry.MAX_RESTARTS + 1


class SliceDeps(reuse.ReuseDeps, Protocol):
    """What a slice needs of ``urlsum.wiring.Services``."""

    @property
    def source(self) -> Source:
        """What opens the file."""
        ...

    @property
    def monotonic(self) -> Callable[[], float]:
        """Clock of checkpoints and rates, in seconds."""
        ...


def run_slice(
    task_id: str, deps: SliceDeps, *, deadline: Deadline, turn: Turn | None = None, late: LateClaims | None = None
) -> Task:
    """Work on the task until it ends, ``deadline`` comes, or its ``turn`` is over; return it as it was last written.

    With ``late``, a new task is claimed by the first write that it needs anyway. If that is refused, the task may have
    been no new one: it is read again, and claimed first. Raises LeaseHeld, NotDue or NothingToDo if there is
    nothing to claim, LeaseLost if another worker has taken over, TaskNotFound, TableUnavailable.
    """
    turn = turn or Turn(continued=True)
    lease_seconds, first_only = deps.settings.lease_seconds, not turn.continued
    if late is None:
        task = claim(task_id, deps.table, now=deps.clock(), lease_seconds=lease_seconds, first_only=first_only)
        return _run(Lease(task, deps.table, deps.clock), deps, deadline, turn)
    lease = late.lease(task_id, deps.table, clock=deps.clock, lease_seconds=lease_seconds, first_only=first_only)
    try:
        return _run(lease, deps, deadline, turn)
    except LeaseLost:
        if lease.is_claimed:
            raise
    finally:
        late.end(lease)
    return run_slice(task_id, deps, deadline=deadline, turn=turn)


def _run(lease: Lease, deps: SliceDeps, deadline: Deadline, turn: Turn) -> Task:
    return lease.task if lease.task.complete else _Slice(lease, deps, deadline, turn).run()


class _Slice:
    def __init__(self, lease: Lease, deps: SliceDeps, deadline: Deadline, turn: Turn) -> None:
        self.task = task = lease.task
        self.lease = lease
        self.deps = deps
        self.deadline = deadline
        self.turn = turn
        self.began = deps.monotonic()
        self.md5 = MD5()
        self.rate = Rate(deps.monotonic(), 0)
        self.body: Stream | None = None
        self.readings = two_readings.TwoReadings()
        self.rejected: reuse.Known | None = None  # a result that no longer holds
        self.alone = task.fresh  # whether the file is read whatever others know of it
        self.catch_up: CatchUp | None = None  # while bytes before the checkpoint are hashed again
        self.received = task.received  # before the file was opened
        self.opened_at = 0
        self.renew_at = deps.monotonic() + deps.settings.checkpoint_seconds

    def run(self) -> Task:
        # The claim has already counted this try.
        used = self.task.attempts - 1
        settings, now = self.deps.settings, self.deps.clock()
        spent = retry.spent(
            self.task,
            attempts=used,
            max_attempts=settings.max_attempts,
            now=now,
            max_task_hours=settings.max_task_hours,
        )
        if spent is not None:
            return self._write(self.task.failed(spent, now))
        try:
            return self._stream()
        except DeadlineReached as reached:
            return self._put_off(reached) if isinstance(reached, OriginBusy) else self._hand_over()
        except OriginError as error:
            if self.deadline.expired:
                # A wait that the deadline cut short looks like a time-out. Errors after the deadline are not blamed on
                # the origin; a real fault recurs in the next slice.
                return self._write(self.task.released(self.deps.clock()))
            return self._settle(error)
        except UrlsumError:
            raise  # the table is away or the lease is lost: no fault of the task, and nothing may be written
        except Exception:
            log.exception("task %s: unexpected error", self.task.id)
            return self._settle(OriginError("an unexpected error in urlsum; its log has the details"))

    def _stream(self) -> Task:
        found = self._recall()
        task = self._take(found) if found else None
        while task is None:
            with self._open() as body:
                found = self._announce(body)
                task = None if found else self._read(body)
            if found:
                task = self._take(found)
        return task

    def _recall(self) -> reuse.Found | None:
        """What other tasks know of the version that was here the last time; None if the origin must be asked."""
        key = self.task.file_key or reuse.last_seen(self.task.url)
        if key is None or self.alone or self.task.checkpoint is not None:
            return None
        self.lease.take()  # others that wait for this reading look at its row
        self.task = replace(self.task, file_key=key)
        return reuse.announced(self.task, self.deps)

    def _announce(self, body: Stream) -> reuse.Found | None:
        """What other tasks know of the version in ``body``; None if this task reads it."""
        begun = body.offset or self.task.checkpoint is not None or self.readings.half_done
        if begun or self.deps.records is None:
            return None
        large = body.size is not None and body.size > reuse.SMALL_BYTES
        if large:
            self.lease.take()  # as in _recall
        key = body.identity if large else None
        if key != self.task.file_key:
            self.task = replace(self.task, file_key=key)
        return None if self.alone else reuse.announced(self.task, self.deps, rejected=self.rejected)

    def _take(self, found: reuse.Found) -> Task | None:
        """Wait for the reading of another task, or take its result; None if this task must read the file."""
        if isinstance(found, reuse.Wait):
            log.info("task %s: another task is reading the file; next look in %.0f s", self.task.id, found.seconds)
            return self._write(self.task.waiting(self.deps.clock(), delay=found.seconds))
        try:
            recognized = self.deps.source.recognize(
                self.task.url,
                self.task.file_key or "",
                found.fingerprint,
                deadline=self.deadline,
                heartbeat=self._renew,
            )
        except Changed as error:
            log.info("task %s: a known result does not hold: %s", self.task.id, error)
            self.rejected = found
            return None
        except OriginError as error:
            if self.task.attempts <= 1:
                raise
            log.info("task %s: not recognized: %s", self.task.id, error)
            recognized = None
        if recognized is None:
            self.alone = True
            return None
        facts, count = recognized
        self.received, self.body = self.received + count, None
        return self._write(reuse.reused(self.task, found, facts, self.deps.clock()))

    def _read(self, body: Stream) -> Task | None:
        """Hash the rest of the file; None if it must be opened once more."""
        began = body.offset
        try:
            return self._hash(body)
        except (OriginError, DeadlineReached) as error:
            if isinstance(error, Unsteady):
                if self.readings.agree(self.md5, body.size):
                    return self._done(two_readings.proven(body.representation))
                if not self.readings.half_done or self.task.restarts >= retry.MAX_RESTARTS:
                    raise
                log.info("task %s: %s; reading the file once more", self.task.id, error)
                self._restart()
                return None
            if isinstance(error, Changed) and not isinstance(error, AnotherKind):
                raise
            # The bytes up to here are valid: the next try resumes behind them.
            self._checkpoint(body)
            if not isinstance(error, RangesFailed) or self.md5.count == began:
                raise
            log.info("task %s: %s; continuing with a single response", self.task.id, error)
            return None

    def _open(self) -> Stream:
        self.received, self.body, self.catch_up = self.task.received, None, None
        self.md5, self.opened_at = MD5(), 0
        checkpoint = self.task.checkpoint
        if checkpoint is not None:
            try:
                self.md5 = _restored(checkpoint)
                self.opened_at = self.md5.count
            except StateError:
                log.exception("task %s: unusable checkpoint; starting over", self.task.id)
                self._restart()
        body = self._opened()
        if body.offset == 0:
            # A whole response: all of it is hashed, so that the digest covers one response.
            self.md5 = MD5()
            self.catch_up = CatchUp(self.md5, self.task.checkpoint) if self.task.checkpoint else None
        if body.offset != self.md5.count:
            body.close()
            raise OriginError(f"the source resumed at {body.offset}, not at {self.md5.count}")
        self.rate = Rate(self.deps.monotonic(), self.md5.count)  # without the time of connecting
        self.opened_at = self.md5.count
        self.body = body
        return body

    def _opened(self) -> Stream:
        source, url = self.deps.source, self.task.url
        try:
            return source.open(url, deadline=self.deadline, resume=self.task.checkpoint, heartbeat=self._renew)
        except AnotherKind:
            raise
        except Changed as error:
            if self.task.checkpoint is None or self.task.restarts >= retry.MAX_RESTARTS:
                raise
            log.info("task %s: starting over: %s", self.task.id, error)
            self._restart()
            return source.open(url, deadline=self.deadline, resume=None, heartbeat=self._renew)

    def _restart(self) -> None:
        self.task = self._write(self.task.restarted(self.deps.clock()))
        self.received, self.body = self.task.received, None
        self.md5, self.opened_at = MD5(), 0

    def _renew(self) -> None:
        """Renew the lease while bytes arrive that were hashed before: no checkpoint renews it then."""
        if self.deps.monotonic() >= self.renew_at:
            self._write(self.task.renewed(self.deps.clock(), lease_seconds=self.deps.settings.lease_seconds))

    def _hash(self, body: Stream) -> Task:
        md5, monotonic, longest = self.md5, self.deps.monotonic, self.deps.settings.checkpoint_seconds
        pause = min(FIRST_CHECKPOINT_SECONDS, longest)
        due_time, due_count = monotonic() + pause, md5.count + CHECKPOINT_BYTES
        while chunk := body.read():
            self._update(chunk)
            now = monotonic()
            if self.turn.over(now) and self._can_hand_over(body):
                log.info("task %s: others wait; handing over", self.task.id)
                raise DeadlineReached  # which is also followed by a checkpoint
            if now >= due_time or md5.count >= due_count:
                self._checkpoint(body)
                pause = min(2 * pause, longest)
                due_time, due_count = monotonic() + pause, md5.count + CHECKPOINT_BYTES
        if self.catch_up is not None:
            self._end_catch_up(same=False)  # the file ended before the checkpoint
        if body.size is not None and body.size != md5.count:
            raise Incomplete(f"{md5.count} bytes were read, but the file has {body.size}")
        return self._done(body.representation, body.fingerprint if self.task.file_key else None)

    def _can_hand_over(self, body: Stream) -> bool:
        """Whether the next slice will resume behind the last one.

        It must, because a turn can be shorter than the bytes that are read twice: a resume reads the tail again, and
        an origin without ranges sends the whole file again, which only a longer slice can end.
        """
        resumed = self.task.resumed_from or 0
        return self.md5.checkpoint()[0] > max(resumed, self.task.offset if self.catch_up else 0) and (
            body.offset > 0 or resumed == 0
        )

    def _update(self, chunk: memoryview) -> None:
        if self.catch_up is None:
            self.md5.update(chunk)
            return
        same = self.catch_up.update(chunk)
        if same is not None:
            self._end_catch_up(same=same)

    def _end_catch_up(self, *, same: bool) -> None:
        if not same:
            if self.task.restarts >= retry.MAX_RESTARTS:
                raise Changed(f"{shown_url(self.task.url)}: the bytes changed")
            log.info("task %s: the bytes before the checkpoint changed", self.task.id)
            self._write(self.task.restarted(self.deps.clock()))
        self.catch_up = None

    def _done(self, representation: Representation, fingerprint: str | None = None) -> Task:
        md5 = self.md5
        done = self.task.done(md5.hexdigest(), md5.count, self.deps.clock(), representation=representation)
        reuse.remember(self.task, self.deps, fingerprint=fingerprint, done=done)
        return self._write(done)

    def _checkpoint(self, body: Stream) -> None:
        limit = READINGS * self.deps.settings.max_bytes
        if self._received() > limit:
            raise TooLarge(
                f"{shown_url(self.task.url)}: gave up after reading {human_bytes(self._received())} without finishing;"
                f" the limit is {human_bytes(limit)} ({READINGS} times MAX_BYTES)"
            )
        if self.catch_up is not None:
            self._renew()  # the stored checkpoint is ahead
            return
        self._check_end(body.size)
        offset, state = self.md5.checkpoint()
        if offset == 0:
            return
        checkpoint = Checkpoint(offset, state, body.validator)
        self._write(
            self.task.checkpointed(
                checkpoint,
                size=body.size,
                rate=self.rate.measure(self.deps.monotonic(), self.md5.count),
                now=self.deps.clock(),
                lease_seconds=self.deps.settings.lease_seconds,
                representation=body.representation,
            )
        )

    def _check_end(self, size: int | None) -> None:
        """Give up a file that cannot end in time. Raises TooSlow."""
        settings, count = self.deps.settings, self.md5.count
        rate = self.rate.mean(self.deps.monotonic(), count, at_least=settings.min_rate_seconds)
        if size is None or not rate:  # without a length nobody knows, and without a byte other limits judge
            return
        now, hours = self.deps.clock(), settings.max_task_hours
        if why := retry.too_slow(self.task, size=size, count=count, rate=rate, now=now, max_task_hours=hours):
            raise TooSlow(f"{shown_url(self.task.url)}: {why}")

    def _hand_over(self) -> Task:
        task = self.task.released(self.deps.clock())
        if task.attempts and not self.deadline.cancelled:
            # No progress, and not because of a shutdown. The error is kept: it is the reason of the failure when the
            # attempts are spent.
            why = "a whole slice of work made no progress: the server is too slow, or does not support range requests"
            task = replace(task, error=Failure(FailureCode.TIMEOUT, f"{shown_url(task.url)}: {why}"))
        return self._write(task)

    def _put_off(self, busy: OriginBusy) -> Task:
        now = self.deps.clock()
        delay = busy.wait or retry.turn_delay(self.task, now=now)
        log.info("task %s: put off by %.0f s: %s", self.task.id, delay, busy)
        return self._write(self.task.put_off(now, delay=delay))

    def _settle(self, error: OriginError) -> Task:
        settings, now = self.deps.settings, self.deps.clock()
        detail = error.detail
        failure = Failure(error.code, str(error), detail)
        if isinstance(error, Changed) and not isinstance(error, AnotherKind):
            if self.task.restarts >= retry.MAX_RESTARTS:
                return self._write(self.task.failed(failure, now))
            if self.task.checkpoint is not None:
                self._restart()
        preparing = retry.preparing(error, seconds=now - self.task.created_at)
        if preparing is not None:
            self.task = replace(self.task, attempts=0)
        wait = retry.delay(
            error,
            attempts=self.task.attempts,
            max_attempts=settings.max_attempts,
            base_seconds=settings.retry_base_seconds,
        )
        log.info(
            "task %s: %s: %s%s; %s",
            self.task.id,
            error.code,
            error,
            f" [{detail}]" if detail else "",
            "given up" if wait is None else f"retry in {wait:.0f} s",
        )
        if wait is None:
            return self._write(self.task.failed(failure, now))
        cheap = self.deps.monotonic() - self.began < FIRST_SECONDS
        return self._write(self.task.retried(failure, now, delay=max(wait, preparing or 0.0), cheap=cheap))

    def _received(self) -> int:
        reread = self.body.reread if self.body else 0
        return self.received + reread + self.md5.count - self.opened_at

    def _write(self, task: Task) -> Task:
        self.renew_at = self.deps.monotonic() + self.deps.settings.checkpoint_seconds
        task = replace(task, received=self._received())
        self.lease.save(task, over=self.task)
        self.task = task
        return task


def _restored(checkpoint: Checkpoint) -> MD5:
    md5 = MD5.restore(checkpoint.md5_state)
    if md5.count != checkpoint.offset:
        raise StateError(f"the state is at {md5.count}, the checkpoint at {checkpoint.offset}")
    return md5
