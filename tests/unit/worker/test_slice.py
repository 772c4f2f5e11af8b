from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.support.origin.synthetic import FILE, Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryTaskTable
from urlsum import errors
from urlsum.deadline import Deadline
from urlsum.errors import FailureCode, LeaseHeld, LeaseLost, NothingToDo
from urlsum.settings import Settings
from urlsum.task import Checkpoint, Failure, Mail, Proof, Status, Task
from urlsum.worker import retry
from urlsum.worker import slice as slice_module
from urlsum.worker.slice import run_slice
from urlsum.worker.turns import FIRST_SECONDS, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.origin.synthetic import SyntheticStream

ID = "0e4fac17-0000-4000-8000-000000000000"
CONTENT = bytes(range(256)) * 400  # 102,400 bytes: 103 pieces of the synthetic origin, so 103 seconds
SETTINGS = Settings(checkpoint_seconds=10, lease_seconds=90, max_attempts=3)


class SliceSetup:
    """A table with one queued task, a synthetic origin, and a clock for both."""

    def __init__(self, content: bytes = CONTENT, settings: Settings = SETTINGS) -> None:
        self.clock = Clock()
        self.table = MemoryTaskTable()
        self.source = SyntheticSource(content, self.clock)
        self.deps = Deps(settings, self.table, self.source, self.clock, self.clock)
        now = self.clock()
        self.table.add(
            Task(id=ID, url="https://o.example/f", created_at=now, updated_at=now, due_at=now, expires_at=2_000_000)
        )

    def slice(self, seconds: float = 10_000, *, turn: float | None = None) -> Task:
        """Run a slice, of a turn that is over after so many seconds."""
        ended = None if turn is None else Turn(continued=True, ends_at=self.clock() + turn)
        return run_slice(ID, self.deps, deadline=Deadline.after(seconds, clock=self.clock), turn=ended)

    @property
    def stored(self) -> Task:
        return self.table.get(ID)

    def set(self, task: Task) -> None:
        self.table.save(task, over=self.stored)

    def record(self) -> list[Task]:
        """A list to which every state is added that is written from now on."""
        writes: list[Task] = []
        save = self.table.save

        def spy(task: Task, *, over: Task, lease_before: float | None = None) -> None:
            writes.append(task)
            save(task, over=over, lease_before=lease_before)

        self.table.save = spy  # type: ignore[method-assign]
        return writes


def rates_of(writes: list[Task]) -> list[float]:
    """The rate of each checkpoint that has one."""
    return [task.rate for task in writes if task.checkpoint is not None and task.rate is not None]


def test_a_file_is_hashed_in_one_slice() -> None:
    setup = SliceSetup()
    task = setup.slice()
    assert (task.status, task.md5, task.size) == (Status.DONE, setup.source.md5, len(CONTENT))
    assert setup.stored == task
    assert setup.source.opened == [0]


def test_an_empty_file_has_the_empty_digest() -> None:
    setup = SliceSetup(b"")
    assert setup.slice().md5 == "d41d8cd98f00b204e9800998ecf8427e"


def test_the_deadline_hands_over_and_the_next_slice_goes_on() -> None:
    setup = SliceSetup()
    first = setup.slice(seconds=30)
    assert (first.status, first.offset % 64, first.lease_until, first.attempts) == (Status.RUNNING, 0, 0.0, 0)
    assert 29_000 < first.offset <= 30_000
    assert first.due_at == setup.clock()
    second = setup.slice(seconds=30)
    assert second.offset > first.offset
    last = setup.slice()
    assert (last.md5, last.slices) == (setup.source.md5, 3)
    assert setup.source.opened == [0, first.offset, second.offset]


def test_a_turn_that_is_over_ends_the_slice_at_a_checkpoint_of_its_own() -> None:
    setup = SliceSetup()
    first = setup.slice(turn=5)
    assert (first.status, first.lease_until, first.attempts, first.error) == (Status.RUNNING, 0.0, 0, None)
    assert (first.offset, first.due_at, first.continued) == (5000 // 64 * 64, setup.clock(), True)
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened == [0, first.offset]


def test_a_turn_that_is_over_still_brings_the_file_forward() -> None:
    setup = SliceSetup()
    offsets = [setup.slice(turn=0).offset for _ in range(5)]
    assert offsets == sorted(set(offsets))
    assert setup.stored.attempts == 0
    assert setup.stored.error is None


def test_a_turn_does_not_end_while_an_origin_without_ranges_sends_the_file_again() -> None:
    setup = SliceSetup()
    stopped = setup.slice(turn=5)
    setup.source.ranges = False
    assert setup.slice(turn=6).md5 == setup.source.md5  # else it would read the same bytes in every slice
    assert setup.source.opened == [0, stopped.offset]


def test_the_end_of_a_file_goes_before_the_end_of_a_turn() -> None:
    setup = SliceSetup(b"")
    assert setup.slice(turn=0).status is Status.DONE


@pytest.mark.parametrize(("seconds", "continued"), [(FIRST_SECONDS - 0.1, False), (FIRST_SECONDS, True)])
def test_a_failure_within_a_moment_leaves_the_task_among_the_new_ones(seconds: float, continued: bool) -> None:
    setup = SliceSetup()

    def refused(offset: int) -> None:
        setup.clock.now += seconds
        raise errors.ConnectFailed("refused")

    setup.source.fault = refused
    assert setup.slice().continued is continued


def test_a_second_message_among_those_of_new_tasks_brings_no_turn() -> None:
    setup = SliceSetup()
    waiting = setup.slice(turn=5)
    with pytest.raises(errors.NotDue) as caught:
        run_slice(ID, setup.deps, deadline=Deadline.after(10, clock=setup.clock), turn=Turn(continued=False))
    assert caught.value.continued
    assert setup.stored == waiting


def test_a_failure_as_the_time_ends_is_the_next_slices_to_judge() -> None:
    setup = SliceSetup()

    def stopped(offset: int) -> None:
        if offset == 20_000:
            setup.clock.now += 10_000
            raise errors.TimedOut("no data for ever so long")

    setup.source.fault = stopped
    first = setup.slice(seconds=1000)
    assert (first.status, first.error, first.lease_until) == (Status.RUNNING, None, 0.0)
    assert (first.offset, first.due_at) == (20_000 // 64 * 64, setup.clock())
    setup.source.fault = lambda offset: None
    assert setup.slice().md5 == setup.source.md5


@pytest.mark.parametrize("stopped", [True, False])
def test_a_slice_that_brought_nothing_says_why_unless_the_worker_was_stopped(stopped: bool) -> None:
    """A shutdown is nobody's fault."""
    setup = SliceSetup()

    def ended(offset: int) -> None:
        raise errors.DeadlineReached

    setup.source.fault = ended
    deadline = Deadline.after(10_000, clock=setup.clock, is_cancelled=lambda: bool(setup.source.opened) and stopped)
    task = run_slice(ID, setup.deps, deadline=deadline)
    why = "a whole slice of work made no progress: the server is too slow, or does not support range requests"
    error = None if stopped else Failure(FailureCode.TIMEOUT, f"https://o.example/f: {why}")
    assert (task.status, task.attempts, task.lease_until, task.error) == (Status.RUNNING, 1, 0.0, error)


def test_checkpoints_are_written_on_the_way_and_renew_the_lease() -> None:
    setup = SliceSetup()
    writes = setup.record()
    setup.slice()
    checkpoints = [task for task in writes if task.checkpoint is not None]
    # 103 seconds: soon at first, for those who watch, then one in 10.
    began = writes[0].updated_at
    assert [task.updated_at - began for task in checkpoints] == [1, 3, 7, 15, *range(25, 103, 10)]
    assert all(task.lease_until == task.updated_at + 90 for task in checkpoints)
    assert [task.rate for task in checkpoints] == [pytest.approx(1000)] * len(checkpoints)


def test_a_file_that_ends_within_a_second_is_written_twice_claimed_and_done() -> None:
    setup = SliceSetup(CONTENT[:3000])
    setup.source.seconds = 0.3
    writes = setup.record()
    setup.slice()
    assert [task.status for task in writes] == [Status.RUNNING, Status.DONE]


def test_fewer_bytes_than_a_block_of_md5_are_no_checkpoint() -> None:
    setup = SliceSetup(CONTENT[:60])
    setup.source.piece = 10
    writes = setup.record()
    setup.slice()
    assert [(task.status, task.checkpoint) for task in writes] == [(Status.RUNNING, None), (Status.DONE, None)]


def test_the_first_second_does_not_tint_the_rate_for_long() -> None:
    setup = SliceSetup(bytes(200_000))
    writes = setup.record()

    def slow_start(offset: int) -> None:
        setup.source.seconds = 1.0 if offset else 10.0

    setup.source.fault = slow_start
    setup.slice()
    rates = rates_of(writes)
    # At 10, 12, 16, 24 and 34 seconds.
    assert rates[0] == pytest.approx(100)
    assert rates[4] > 700  # and 595 if the first were forgotten within half a minute only


def test_what_was_cut_off_within_a_moment_has_no_rate() -> None:
    setup = SliceSetup()
    setup.source.seconds = 0.001  # a thousand times as fast as the line turns out to be

    def cut(offset: int) -> None:
        if offset >= 3000 and setup.source.seconds < 1.0:
            setup.source.seconds = 1.0
            raise errors.Incomplete("cut")

    setup.source.fault = cut
    failed = setup.slice()
    assert failed.offset > 0
    assert failed.rate is None
    setup.clock.now = failed.not_before
    writes = setup.record()
    setup.slice()
    assert rates_of(writes)[0] == pytest.approx(1000)


def test_connecting_does_not_count_into_the_rate() -> None:
    setup = SliceSetup()
    opened = setup.source.open

    def slowly(*args: object, **kwargs: object) -> object:
        setup.clock.now += 20
        return opened(*args, **kwargs)  # type: ignore[arg-type]

    setup.source.open = slowly  # type: ignore[assignment, method-assign]
    assert setup.slice(seconds=25).rate == pytest.approx(1000)


def test_what_the_responses_said_is_kept_with_each_checkpoint_and_the_digest() -> None:
    setup = SliceSetup()
    first = setup.source.representation = replace(FILE, name="reads.bam", content_type="text/html", notes=("web-page",))
    half = setup.slice(seconds=30)
    assert half.representation == first
    setup.source.representation = FILE  # a 206 to If-Range leaves the other facts out
    task = setup.slice()
    assert (task.status, task.representation) == (Status.DONE, first)


def test_a_file_that_changed_is_described_by_its_new_version_only() -> None:
    setup = SliceSetup()
    setup.source.representation = replace(FILE, notes=("web-page",))
    setup.slice(seconds=30)
    setup.source.representation, setup.source.version = FILE, "v2"
    assert setup.slice().representation == FILE


def test_a_slice_notes_from_where_it_went_on() -> None:
    setup = SliceSetup()
    first = setup.slice(seconds=30)
    assert first.resumed_from is None
    second = setup.slice(seconds=30)
    assert second.resumed_from == first.offset > 0
    assert second.offset > second.resumed_from
    setup.source.version = "v2"
    third = setup.slice(seconds=30)
    assert (third.resumed_from, third.restarts) == (None, 1)  # from the first byte again
    assert setup.slice().resumed_from is None  # done


def test_a_killed_slice_costs_at_most_one_checkpoint_interval() -> None:
    setup = SliceSetup()

    def kill(offset: int) -> None:
        if offset >= 55_000:
            raise KeyboardInterrupt  # not an Exception: nothing in the slice may catch it

    setup.source.fault = kill
    with pytest.raises(KeyboardInterrupt):
        setup.slice()
    assert 45_000 <= setup.stored.offset <= 55_000
    with pytest.raises(LeaseHeld):
        setup.slice()
    setup.clock.now += 91
    setup.source.fault = lambda offset: None
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened[1] >= 45_000


def test_a_passing_failure_keeps_what_was_read_and_waits() -> None:
    setup = SliceSetup()

    def cut(offset: int) -> None:
        if offset == 5000:
            raise errors.Incomplete("cut at 5000")

    setup.source.fault = cut
    task = setup.slice()
    assert (task.status, task.offset, task.attempts) == (Status.QUEUED, 5000 // 64 * 64, 0)
    assert task.error is not None
    assert task.error.code is FailureCode.INCOMPLETE
    assert task.due_at is not None
    assert setup.clock() < task.due_at <= setup.clock() + 5


def test_tries_without_progress_end_the_task_with_the_last_reason() -> None:
    setup = SliceSetup()

    def silent(offset: int) -> None:
        raise errors.TimedOut("silent for 30 s")

    setup.source.fault = silent
    for _ in range(2):
        task = setup.slice()
        assert task.status is Status.QUEUED
        setup.clock.now += 1000
    task = setup.slice()
    assert (task.status, task.complete) == (Status.FAILED, True)
    assert task.error is not None
    assert (task.error.code, task.error.message) == (FailureCode.TIMEOUT, "silent for 30 s")
    with pytest.raises(NothingToDo):
        setup.slice()


def test_tries_with_progress_may_go_on_for_ever() -> None:
    setup = SliceSetup()
    slices = 0

    def cut_after_two_pieces(offset: int) -> None:
        if offset >= setup.source.opened[-1] + 2000:
            raise errors.Incomplete("cut")

    setup.source.fault = cut_after_two_pieces
    while not setup.stored.complete:
        setup.slice()
        setup.clock.now += 1000
        slices += 1
    assert setup.stored.md5 == setup.source.md5
    assert slices > 10 * SETTINGS.max_attempts


def test_workers_that_die_without_progress_end_the_task_too() -> None:
    setup = SliceSetup()

    def die(offset: int) -> None:
        raise KeyboardInterrupt

    setup.source.fault = die
    for _ in range(SETTINGS.max_attempts):
        with pytest.raises(KeyboardInterrupt):
            setup.slice()
        setup.clock.now += 91
    task = setup.slice()
    assert task.status is Status.FAILED
    assert task.error is not None
    assert task.error.code is FailureCode.INTERNAL


def test_a_final_failure_is_recorded_at_once() -> None:
    setup = SliceSetup()

    def gone(offset: int) -> None:
        raise errors.HttpFailed(404, "404 Not Found")

    setup.source.fault = gone
    task = setup.slice()
    assert task.status is Status.FAILED
    assert task.error is not None
    assert (task.error.code, task.error.message) == (FailureCode.HTTP, "404 Not Found")


def test_a_bug_is_a_failure_not_a_crash() -> None:
    setup = SliceSetup()

    def bug(offset: int) -> None:
        raise ZeroDivisionError("secret detail")

    setup.source.fault = bug
    task = setup.slice()
    assert task.error is not None
    words = "an unexpected error in urlsum; its log has the details"
    assert task.error == Failure(FailureCode.INTERNAL, words)


def test_a_changed_file_is_begun_again() -> None:
    setup = SliceSetup()
    setup.slice(seconds=30)
    setup.source.content, setup.source.version = CONTENT[::-1], "v2"
    task = setup.slice()
    assert (task.status, task.md5, task.restarts) == (Status.DONE, setup.source.md5, 1)
    assert setup.source.opened[-1] == 0


def test_a_file_that_keeps_changing_ends_as_changed() -> None:
    setup = SliceSetup()
    for version in range(100):
        setup.source.version = f"v{version}"
        task = setup.slice(seconds=30)
        if task.complete:
            break
    assert task.error is not None
    assert task.error.code is FailureCode.CHANGED
    assert task.restarts == retry.MAX_RESTARTS
    assert task.md5 is None


def test_a_change_in_the_middle_of_a_slice_forgets_what_was_read() -> None:
    setup = SliceSetup()

    def change(offset: int) -> None:
        if offset >= 50_000 and setup.source.version == "v1":
            setup.source.content, setup.source.version = CONTENT[::-1], "v2"
            raise errors.Changed("the ETag changed")

    setup.source.fault = change
    writes = setup.record()
    task = setup.slice()
    # At 45 s was the last checkpoint. What came after it may be of either version.
    assert max(written.offset for written in writes) == 45_000 // 64 * 64
    assert (task.status, task.offset, task.received) == (Status.QUEUED, 0, 50_000)
    assert task.error == Failure(FailureCode.CHANGED, "the ETag changed")
    setup.clock.now += 1000
    task = setup.slice()
    assert (task.md5, task.received) == (setup.source.md5, 50_000 + len(CONTENT))


def test_a_page_in_place_of_the_file_costs_nothing_of_what_was_read() -> None:
    setup = SliceSetup()

    def page(offset: int) -> None:
        if offset == 5000:
            raise errors.AnotherKind("the server sends a login page")

    setup.source.fault = page
    task = setup.slice()
    assert (task.status, task.offset, task.restarts) == (Status.QUEUED, 5000 // 64 * 64, 0)
    setup.clock.now += 1000
    setup.source.fault = lambda offset: None
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened == [0, 4992]


def test_a_corrupt_checkpoint_is_never_hashed_on() -> None:
    setup = SliceSetup()
    task = setup.slice(seconds=30)
    assert task.checkpoint is not None
    broken = bytearray(task.checkpoint.md5_state)
    broken[8] ^= 1
    setup.set(replace(task, checkpoint=replace(task.checkpoint, md5_state=bytes(broken))))
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened[-1] == 0


def test_a_checkpoint_whose_offset_is_not_its_states_is_never_hashed_on() -> None:
    setup = SliceSetup()
    task = setup.slice(seconds=30)
    assert task.checkpoint is not None
    setup.set(replace(task, checkpoint=Checkpoint(64, task.checkpoint.md5_state, "v1")))
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened[-1] == 0


def test_a_body_shorter_than_the_file_is_not_a_digest() -> None:
    setup = SliceSetup()
    opened = setup.source.open

    def lying(*args: object, **kwargs: object) -> object:
        stream = opened(*args, **kwargs)  # type: ignore[arg-type]
        stream.size = len(CONTENT) + 1
        return stream

    setup.source.open = lying  # type: ignore[assignment, method-assign]
    task = setup.slice()
    assert (task.md5, task.status) == (None, Status.QUEUED)
    assert task.error is not None
    assert task.error.code is FailureCode.INCOMPLETE
    assert task.error.message == "102400 bytes were read, but the file has 102401"


@pytest.mark.parametrize(("more", "offset"), [(0, 1000), (1, 0)])
def test_one_task_reads_at_most_so_many_times_the_largest_file(more: int, offset: int) -> None:
    setup = SliceSetup(settings=structs.replace(SETTINGS, max_bytes=150_000))
    limit = (retry.MAX_RESTARTS + 1) * 150_000
    setup.set(replace(setup.stored, received=limit - 1000 + more))  # the first checkpoint comes after 1000 bytes
    writes = setup.record()
    task = setup.slice()
    assert (task.status, task.error and task.error.code) == (Status.FAILED, FailureCode.TOO_LARGE)
    assert task.error is not None
    assert "the limit is 585.9 KiB (4 times MAX_BYTES)" in task.error.message
    assert max(written.offset for written in writes) == offset // 64 * 64


class Differing:
    """A server whose validators differ in each response, so that the end of the file proves nothing."""

    def __init__(self, setup: SliceSetup, *contents: bytes) -> None:
        self.setup = setup
        self.contents = list(contents)
        setup.source.content = self.contents[0]
        setup.source.fault = self.fault

    def fault(self, offset: int) -> None:
        source = self.setup.source
        if offset == len(source.content):
            del self.contents[:1]
            source.content = self.contents[0] if self.contents else source.content
            raise errors.Unsteady("its Last-Modified is the time of each response")


def test_a_file_without_a_proof_is_done_once_it_was_read_twice_alike() -> None:
    setup = SliceSetup()
    Differing(setup, CONTENT, CONTENT)
    task = setup.slice()
    assert (task.status, task.md5, task.size) == (Status.DONE, setup.source.md5, len(CONTENT))
    assert (task.restarts, setup.source.opened) == (1, [0, 0])
    assert task.representation == replace(FILE, proof=Proof.LENGTH, notes=("read-twice",))


def test_two_readings_that_differ_prove_nothing() -> None:
    setup = SliceSetup()
    other = CONTENT[::-1]
    Differing(setup, CONTENT, other, other, other)
    task = setup.slice()
    assert (task.status, task.md5) == (Status.QUEUED, None)
    assert task.error is not None
    assert task.error.code is FailureCode.CHANGED
    # The next slice begins with two readings of its own.
    assert setup.source.opened == [0, 0]
    setup.clock.now += 1000
    assert setup.slice().md5 == setup.source.md5
    assert setup.source.opened == [0, 0, 0, 0]


def test_a_reading_that_did_not_get_to_the_end_is_none() -> None:
    setup = SliceSetup()

    def early(offset: int) -> None:
        if offset >= 5000:
            raise errors.Unsteady("its Last-Modified is the time of each response")

    setup.source.fault = early
    task = setup.slice()
    assert (task.status, setup.source.opened) == (Status.QUEUED, [0])


def test_a_worker_that_lost_its_lease_writes_nothing() -> None:
    setup = SliceSetup()
    thief: list[Task] = []

    def overtake(offset: int) -> None:
        if offset == 20_000:
            setup.clock.now += 1000  # asleep for longer than the lease
            stored = setup.stored
            thief.append(stored.claimed(setup.clock(), 90))
            setup.table.save(thief[0], over=stored, lease_before=setup.clock())

    setup.source.fault = overtake
    with pytest.raises(LeaseLost):
        setup.slice()
    assert setup.stored == thief[0]


@pytest.mark.parametrize("complete", [False, True], ids=["to be hashed", "to be mailed"])
def test_a_lease_that_was_renewed_meanwhile_is_not_claimed(complete: bool) -> None:
    """The holder is late, not dead. Its checkpoint raises no fence, so only the lease itself can refuse the claim."""
    setup = SliceSetup()
    held = replace(setup.stored.claimed(setup.clock(), 90), mail=Mail.PENDING)
    setup.set(held.done("0" * 32, 7, setup.clock()) if complete else held)
    setup.set(replace(setup.stored, lease_until=held.lease_until))
    setup.clock.now += 91
    get = setup.table.get

    def read(task_id: str, *, consistent: bool = True) -> Task:
        found = get(task_id)
        setup.table.get = get  # type: ignore[method-assign]
        setup.set(found.renewed(setup.clock(), lease_seconds=90))
        return found

    setup.table.get = read  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        setup.slice()
    assert (setup.stored.fence, setup.stored.lease_until) == (held.fence, setup.clock() + 90)
    assert setup.source.opened == []


def test_a_finished_task_with_a_mail_owed_is_claimed_but_not_hashed_again() -> None:
    setup = SliceSetup()
    setup.set(replace(setup.stored, mail=Mail.PENDING))
    done = setup.slice()
    setup.clock.now += 91
    again = setup.slice()
    assert (again.md5, again.fence) == (done.md5, done.fence + 1)
    assert setup.source.opened == [0]


def test_a_fast_file_is_checkpointed_by_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_module, "CHECKPOINT_BYTES", 4000)
    monkeypatch.setattr(slice_module, "FIRST_CHECKPOINT_SECONDS", 1e6)
    setup = SliceSetup(settings=Settings(checkpoint_seconds=1e6, lease_seconds=2e6))
    writes = setup.record()

    setup.slice()
    assert [task.offset for task in writes if task.checkpoint is not None] == [
        position // 64 * 64 for position in range(4000, len(CONTENT), 4000)
    ]


def test_a_rate_follows_the_line_within_half_a_minute_or_so() -> None:
    setup = SliceSetup(bytes(400_000))
    writes = setup.record()

    def slower(offset: int) -> None:
        setup.source.seconds = 4.0 if offset >= 100_000 else 1.0

    setup.source.fault = slower
    setup.slice()
    rates = rates_of(writes)
    assert rates[5] == pytest.approx(1000)
    assert rates[-1] == pytest.approx(250, rel=0.05)
    changed = [rate for rate in rates if 300 < rate < 900]
    assert len(changed) >= 2  # smoothed: it does not jump


# --- while bytes come that were hashed before


class Rereading:
    """The source takes ``seconds`` to open, and says each second that it is alive; ``whole``: it has no ranges."""

    def __init__(self, setup: SliceSetup, *, seconds: int = 0, whole: bool = False) -> None:
        self.setup = setup
        self.seconds = seconds
        self.whole = whole
        self._open = setup.source.open
        setup.source.open = self.open  # type: ignore[assignment, method-assign]

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> SyntheticStream:
        assert url == self.setup.stored.url
        for _ in range(self.seconds):
            self.setup.clock.now += 1
            heartbeat()
        opened = self._open(url, deadline=deadline, resume=resume)
        return self._open(url, deadline=deadline) if self.whole else opened


def test_the_lease_is_renewed_once_in_a_checkpoint_interval() -> None:
    setup = SliceSetup()
    at = setup.slice(seconds=30)
    Rereading(setup, seconds=25)
    writes, began = setup.record(), setup.clock()
    setup.slice(seconds=25.5)
    renewed = [task for task in writes[1:] if task.updated_at <= began + 25]
    assert [task.updated_at - began for task in renewed] == [10, 20]
    assert all(task.lease_until == task.due_at == task.updated_at + 90 for task in renewed)
    assert all(task.checkpoint == at.checkpoint for task in renewed)


def test_the_lease_is_renewed_when_the_file_is_begun_again_too() -> None:
    setup = SliceSetup()
    setup.slice(seconds=30)
    setup.source.version = "v2"
    Rereading(setup, seconds=15)
    writes, began = setup.record(), setup.clock()
    setup.slice(seconds=30.5)
    # The restart is a write, too, and holds the lease that there is.
    assert [(task.updated_at - began, task.restarts) for task in writes[:4]] == [(0, 0), (10, 0), (15, 1), (25, 1)]


@pytest.mark.parametrize("piece", [1000, 64, 29_952, 10_000])
def test_a_file_that_comes_whole_is_compared_with_the_checkpoint_on_the_way(piece: int) -> None:
    setup = SliceSetup()
    at = setup.slice(seconds=30)
    assert at.offset == 29_952
    Rereading(setup, whole=True)
    setup.source.piece = piece
    task = setup.slice()
    assert (task.md5, task.restarts) == (setup.source.md5, 0)


def test_the_checkpoint_stays_until_its_bytes_have_come_again() -> None:
    setup = SliceSetup()
    at = setup.slice(seconds=30)
    Rereading(setup, whole=True)
    writes, began = setup.record(), setup.clock()
    setup.slice(seconds=55)
    offsets = [(task.updated_at - began, task.offset) for task in writes[1:-1]]
    # Renewed every ten seconds; the first checkpoint after the 30th second has the first new bytes.
    assert offsets[:4] == [(15, at.offset), (25, at.offset), (35, 34_944), (45, 44_992)]


def test_other_bytes_before_the_checkpoint_begin_the_file_again() -> None:
    setup = SliceSetup()
    setup.slice(seconds=30)
    Rereading(setup, whole=True)
    setup.source.content = b"x" + CONTENT[1:]
    task = setup.slice()
    assert (task.md5, task.restarts, task.received) == (setup.source.md5, 1, len(CONTENT) + 30_000)


def test_a_file_that_ends_at_the_checkpoint_is_the_same() -> None:
    setup = SliceSetup(CONTENT[:6400])

    def cut(offset: int) -> None:
        if offset == 6400:
            raise errors.Incomplete("cut before the end was proven")

    setup.source.fault = cut
    assert setup.slice().offset == 6400
    setup.clock.now += 1000
    setup.source.fault = lambda offset: None
    Rereading(setup, whole=True)
    task = setup.slice()
    assert (task.md5, task.restarts) == (setup.source.md5, 0)


def test_a_file_that_ends_before_the_checkpoint_is_another_one() -> None:
    setup = SliceSetup()
    setup.slice(seconds=30)
    Rereading(setup, whole=True)
    setup.source.content = CONTENT[:20_000]
    task = setup.slice()
    assert (task.md5, task.size, task.restarts) == (setup.source.md5, 20_000, 1)
    spent = SliceSetup()
    spent.slice(seconds=30)
    spent.set(replace(spent.stored, restarts=retry.MAX_RESTARTS))
    Rereading(spent, whole=True)
    spent.source.content = CONTENT[:20_000]
    task = spent.slice()
    assert (task.status, task.error and task.error.code) == (Status.FAILED, FailureCode.CHANGED)


def test_a_source_that_resumes_elsewhere_is_a_fault_of_its_own() -> None:
    setup = SliceSetup()
    setup.slice(seconds=30)
    opened = setup.source.open

    def elsewhere(*args: object, **kwargs: object) -> object:
        stream = opened(*args, **kwargs)  # type: ignore[arg-type]
        stream.offset = 64
        return stream

    setup.source.open = elsewhere  # type: ignore[assignment, method-assign]
    task = setup.slice()
    assert task.error == Failure(FailureCode.INTERNAL, "the source resumed at 64, not at 29952")


def dripping(announced: int, *, hours: int = 168) -> SliceSetup:
    """A file that comes with 1000 bytes per second."""
    setup = SliceSetup(settings=structs.replace(SETTINGS, max_task_hours=hours))
    setup.source.announced = announced
    return setup


def test_a_file_that_cannot_end_in_time_is_given_up_after_a_minute() -> None:
    """Such a drip lived until its slices were used up, for 27.8 days."""
    setup = dripping(2 * 604_800_000)
    began = setup.clock()
    task = setup.slice()
    assert task.status is Status.FAILED
    assert task.error == Failure(
        FailureCode.TIMEOUT,
        "https://o.example/f: 1.1 GiB at 1000 B per second cannot end within 168 hours of the submission, the limit of"
        " this service; 63.5 KiB had been read",
    )
    assert 60 <= setup.clock() - began <= 70


@pytest.mark.parametrize(
    ("announced", "hours"),
    [
        # Half of the rate that is needed, which may double in the first hour; and no limit but that the task expires.
        (2 * 604_700_000 - 200_000, 168),
        (1_990_000_000, 0),
    ],
)
def test_a_file_that_may_still_end_in_time_is_read(announced: int, hours: int) -> None:
    setup = dripping(announced, hours=hours)
    assert setup.slice(seconds=90).status is Status.RUNNING
    assert setup.stored.offset > 80_000


def test_the_rate_is_that_of_the_whole_task_where_a_slice_is_slow() -> None:
    """1100 bytes per second are needed, in the first hour half of them: more than 500, less than the mean of both."""
    setup = dripping(1100 * 604_800)
    setup.slice(seconds=30)
    setup.source.seconds = 2.0
    assert setup.slice(seconds=90).status is Status.RUNNING
    alone = dripping(1100 * 604_800)
    alone.source.seconds = 2.0
    assert alone.slice(seconds=90).status is Status.FAILED


def test_a_task_that_is_too_old_is_not_worked_on() -> None:
    setup = dripping(604_000_000)
    setup.slice(seconds=30)
    setup.clock.now += 168 * 3600
    task = setup.slice()
    assert (task.status, task.error) == (
        Status.FAILED,
        Failure(FailureCode.TIMEOUT, "not finished within 168 hours of the submission"),
    )
    assert setup.source.opened == [0]
