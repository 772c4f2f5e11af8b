from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from urlsum.errors import FailureCode, LeaseHeld, NotDue, NothingToDo, TaskFinished
from urlsum.task import Checkpoint, Failure, Mail, Proof, Representation, Status, Task

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_000_000.0
QUEUED = Task(id="t", url="https://example.org/f", created_at=NOW, updated_at=NOW, due_at=NOW, expires_at=2_000_000)
FAILURE = Failure(FailureCode.TIMEOUT, "too slow")


def test_a_claim_raises_the_fence_takes_the_lease_and_counts_an_attempt() -> None:
    task = QUEUED.claimed(NOW, 90)
    assert (task.status, task.fence, task.lease_until, task.due_at) == (Status.RUNNING, 1, NOW + 90, NOW + 90)
    assert (task.attempts, task.slices) == (1, 1)


@pytest.mark.parametrize("later", [0, 89, 90])
def test_a_held_lease_cannot_be_claimed(later: float) -> None:
    with pytest.raises(LeaseHeld):
        QUEUED.claimed(NOW, 90).claimed(NOW + later, 90)


def test_a_lapsed_lease_can_be_claimed() -> None:
    assert QUEUED.claimed(NOW, 90).claimed(NOW + 90.001, 90).fence == 2


def test_a_task_that_waits_is_not_due() -> None:
    waiting = QUEUED.claimed(NOW, 90).retried(FAILURE, NOW + 1, delay=300)
    assert (waiting.status, waiting.error) == (Status.QUEUED, FAILURE)
    with pytest.raises(NotDue) as caught:
        waiting.claimed(NOW + 300, 90)
    assert caught.value.due_at == NOW + 301
    assert waiting.claimed(NOW + 301, 90).fence == 2


def test_a_task_that_is_sent_again_waits_from_then_on_and_can_be_taken_by_a_worker_whose_clock_is_behind() -> None:
    waiting = QUEUED.claimed(NOW, 90).retried(FAILURE, NOW + 1, delay=300)
    again = waiting.resent(NOW + 400)
    assert (again.due_at, again.fence, again.updated_at) == (NOW + 400, 2, waiting.updated_at)
    assert again.claimed(NOW + 395, 90).fence == 3


def test_progress_clears_attempts_and_error_and_renews_the_lease() -> None:
    claimed = replace(QUEUED.claimed(NOW, 90), attempts=3, error=FAILURE)
    task = claimed.checkpointed(Checkpoint(640, b"s", "v"), size=1000, rate=5.0, now=NOW + 10, lease_seconds=90)
    assert (task.attempts, task.error, task.offset, task.lease_until) == (0, None, 640, NOW + 100)


def test_a_checkpoint_without_progress_renews_the_lease_only() -> None:
    claimed = replace(QUEUED.claimed(NOW, 90), attempts=3, error=FAILURE, checkpoint=Checkpoint(640, b"s", "v"))
    task = claimed.checkpointed(Checkpoint(640, b"s", "v"), size=1000, rate=5.0, now=NOW + 10, lease_seconds=90)
    assert (task.attempts, task.error, task.lease_until) == (3, FAILURE, NOW + 100)


def test_done_without_a_mail_owes_nothing() -> None:
    task = QUEUED.claimed(NOW, 90).done("0" * 32, 1000, NOW + 5)
    assert task.complete
    assert (task.md5, task.size, task.offset, task.finished_at) == ("0" * 32, 1000, 1000, NOW + 5)
    assert (task.due_at, task.lease_until, task.checkpoint) == (None, 0.0, None)
    with pytest.raises(NothingToDo):
        task.claimed(NOW + 1000, 90)


def test_done_with_a_mail_keeps_the_lease_until_it_is_settled() -> None:
    task = replace(QUEUED, mail=Mail.PENDING).claimed(NOW, 90).done("0" * 32, 1000, NOW + 5)
    assert (task.lease_until, task.due_at) == (NOW + 90, NOW + 90)
    again = task.claimed(NOW + 91, 90)  # the holder died before it sent
    assert (again.status, again.fence, again.attempts) == (Status.DONE, 2, 1)
    settled = again.mailed(Mail.SENT, NOW + 92)
    assert (settled.status, settled.due_at, settled.mail) == (Status.DONE, None, Mail.SENT)
    with pytest.raises(NothingToDo):
        settled.claimed(NOW + 1000, 90)


def test_a_failed_task_is_final() -> None:
    task = QUEUED.claimed(NOW, 90).failed(FAILURE, NOW + 5)
    assert (task.status, task.complete, task.error) == (Status.FAILED, True, FAILURE)
    with pytest.raises(NothingToDo):
        task.claimed(NOW + 1000, 90)


def test_a_cancelled_task_owes_nobody_anything_and_shuts_its_worker_out() -> None:
    running = replace(QUEUED, mail=Mail.PENDING).claimed(NOW, 90)
    task = running.cancelled(NOW + 5)
    assert (task.status, task.complete, task.finished_at) == (Status.CANCELLED, True, NOW + 5)
    assert (task.mail, task.due_at, task.lease_until, task.fence) == (Mail.NONE, None, 0.0, running.fence + 1)
    with pytest.raises(NothingToDo):
        task.claimed(NOW + 1000, 90)


@pytest.mark.parametrize("mail", [Mail.NONE, Mail.PENDING])
def test_a_finished_task_cannot_be_cancelled(mail: Mail) -> None:
    running = replace(QUEUED, mail=mail).claimed(NOW, 90)
    for finished in (running.done("0" * 32, 7, NOW), running.failed(FAILURE, NOW), running.cancelled(NOW)):
        with pytest.raises(TaskFinished):
            finished.cancelled(NOW + 1)


@pytest.mark.parametrize(
    ("md5", "expected", "match"),
    [(None, "a" * 32, None), ("a" * 32, None, None), ("a" * 32, "a" * 32, True), ("a" * 32, "b" * 32, False)],
)
def test_match(md5: str | None, expected: str | None, match: bool | None) -> None:
    assert replace(QUEUED, md5=md5, expected_md5=expected).match is match


FIRST = Representation(
    name="reads.bam",
    final_url="https://cdn.example/1",
    content_type="text/html",
    etag='"v1"',
    last_modified=1.0,
    proof=Proof.ETAG,
    notes=("web-page",),
)
# A 206 to If-Range, from another mirror.
LATER = Representation(
    name="2", final_url="https://cdn.example/2", etag='"v1"', proof=Proof.ETAG, notes=("transformed",)
)


def test_a_later_response_adds_to_what_the_first_one_said() -> None:
    assert LATER.filled_from(None) == LATER
    filled = LATER.filled_from(FIRST)
    assert filled == replace(FIRST, notes=("web-page", "transformed"))
    assert filled.filled_from(filled) == filled


def test_a_later_response_has_the_newer_word_on_the_version() -> None:
    newer = replace(LATER, etag='"v2"', last_modified=2.0, proof=Proof.LAST_MODIFIED, content_type="a/b")
    filled = newer.filled_from(replace(FIRST, content_type=None))
    assert (filled.etag, filled.last_modified, filled.proof) == ('"v2"', 2.0, Proof.LAST_MODIFIED)
    assert filled.content_type == "a/b"


def test_what_the_responses_said_is_kept_to_the_end_and_forgotten_by_a_restart() -> None:
    half = QUEUED.claimed(NOW, 90).checkpointed(
        Checkpoint(64, b"s", "v"), size=100, rate=1.0, now=NOW, lease_seconds=90, representation=FIRST
    )
    assert half.representation == FIRST
    assert half.released(NOW).claimed(NOW, 90).representation == FIRST
    assert half.done("0" * 32, 100, NOW).representation == FIRST
    assert half.done("0" * 32, 100, NOW, representation=LATER).representation == LATER.filled_from(FIRST)
    restarted = half.restarted(NOW)
    assert restarted.representation is None
    assert restarted.done("0" * 32, 100, NOW, representation=LATER).representation == LATER


# --- what each step writes, and that it writes nothing else

POINT = Checkpoint(6400, b"later", "v2")
RUNNING = Task(
    id="t",
    url="https://example.org/f",
    created_at=1.0,
    updated_at=2.0,
    expires_at=3,
    email="someone@example.org",
    expected_md5="a" * 32,
    status=Status.RUNNING,
    md5="b" * 32,
    size=7000,
    checkpoint=Checkpoint(640, b"s", "v"),
    representation=FIRST,
    rate=4.0,
    fence=5,
    lease_until=NOW - 1,
    due_at=NOW - 1,
    not_before=6.0,
    attempts=7,
    slices=8,
    restarts=9,
    received=10,
    resumed_from=11,
    error=FAILURE,
    mail=Mail.NONE,
    finished_at=12.0,
)
OWING = replace(RUNNING, mail=Mail.PENDING)
DONE = replace(OWING, status=Status.DONE)
TAKEN = {"fence": 6, "lease_until": NOW + 90, "due_at": NOW + 90, "attempts": 8, "slices": 9, "rate": None}
HELD = {"lease_until": NOW + 90, "due_at": NOW + 90, "updated_at": NOW, "continued": True}
ENDED = {
    "checkpoint": None,
    "rate": None,
    "resumed_from": None,
    "attempts": 0,
    "lease_until": 0.0,
    "due_at": None,
    "finished_at": NOW,
    "updated_at": NOW,
}
ENDED_OWING = {name: value for name, value in ENDED.items() if name not in ("lease_until", "due_at")}
DESCRIBED = {"representation": LATER.filled_from(FIRST)}
RELEASED = {"lease_until": 0.0, "due_at": NOW + 5, "not_before": NOW + 5, "updated_at": NOW, "continued": True}


@pytest.mark.parametrize(
    ("before", "step", "written"),
    [
        (RUNNING, lambda task: task.claimed(NOW, 90), {**TAKEN, "resumed_from": 640, "updated_at": NOW}),
        (DONE, lambda task: task.claimed(NOW, 90), {**TAKEN, "resumed_from": 640, "updated_at": NOW}),
        (
            replace(RUNNING, status=Status.QUEUED, checkpoint=None),
            lambda task: task.claimed(NOW, 90),
            {**TAKEN, "status": Status.RUNNING, "resumed_from": None, "updated_at": NOW},
        ),
        (
            RUNNING,
            lambda task: task.checkpointed(POINT, size=8000, rate=2.0, now=NOW, lease_seconds=90, representation=LATER),
            {**HELD, **DESCRIBED, "checkpoint": POINT, "size": 8000, "rate": 2.0, "attempts": 0, "error": None},
        ),
        (
            RUNNING,
            lambda task: task.checkpointed(Checkpoint(640, b"x", "w"), size=8000, rate=2.0, now=NOW, lease_seconds=90),
            {**HELD, "checkpoint": Checkpoint(640, b"x", "w"), "size": 8000, "rate": 2.0},
        ),
        (RUNNING, lambda task: task.renewed(NOW, lease_seconds=90), HELD),
        (
            RUNNING,
            lambda task: task.restarted(NOW),
            {
                **dict.fromkeys(("checkpoint", "representation", "size", "rate", "resumed_from")),
                "restarts": 10,
                "updated_at": NOW,
            },
        ),
        (RUNNING, lambda task: task.released(NOW, delay=5), RELEASED),
        (RUNNING, lambda task: task.released(NOW), {**RELEASED, "due_at": NOW, "not_before": NOW}),
        (
            RUNNING,
            lambda task: task.retried(Failure(FailureCode.DNS, "no"), NOW, delay=5),
            {**RELEASED, "status": Status.QUEUED, "error": Failure(FailureCode.DNS, "no")},
        ),
        (
            RUNNING,
            lambda task: task.retried(Failure(FailureCode.DNS, "no"), NOW, delay=5, cheap=True),
            {**RELEASED, "status": Status.QUEUED, "error": Failure(FailureCode.DNS, "no"), "continued": False},
        ),
        (
            RUNNING,
            lambda task: task.done("c" * 32, 9000, NOW, representation=LATER),
            {**ENDED, **DESCRIBED, "status": Status.DONE, "md5": "c" * 32, "size": 9000, "error": None},
        ),
        (
            OWING,
            lambda task: task.done("c" * 32, 9000, NOW),
            {**ENDED_OWING, "status": Status.DONE, "md5": "c" * 32, "size": 9000, "error": None},
        ),
        (
            RUNNING,
            lambda task: task.failed(Failure(FailureCode.DNS, "no"), NOW),
            {**ENDED, "status": Status.FAILED, "error": Failure(FailureCode.DNS, "no")},
        ),
        (
            OWING,
            lambda task: task.failed(Failure(FailureCode.DNS, "no"), NOW),
            {**ENDED_OWING, "status": Status.FAILED, "error": Failure(FailureCode.DNS, "no")},
        ),
        (
            OWING,
            lambda task: task.cancelled(NOW),
            {**ENDED, "status": Status.CANCELLED, "fence": 6, "mail": Mail.NONE, "error": None},
        ),
        (
            RUNNING,
            lambda task: task.resent(NOW),
            {"status": Status.QUEUED, "fence": 6, "lease_until": 0.0, "due_at": NOW},
        ),
        (DONE, lambda task: task.resent(NOW), {"fence": 6, "lease_until": 0.0, "due_at": NOW}),
        (
            RUNNING,
            lambda task: task.given_up(Failure(FailureCode.DNS, "no"), NOW),
            {**ENDED, "status": Status.FAILED, "fence": 6, "error": Failure(FailureCode.DNS, "no")},
        ),
        (
            OWING,
            lambda task: task.given_up(Failure(FailureCode.DNS, "no"), NOW),
            {**ENDED, "status": Status.FAILED, "fence": 6, "due_at": NOW, "error": Failure(FailureCode.DNS, "no")},
        ),
        (
            DONE,
            lambda task: task.mailed(Mail.SENT, NOW),
            {"mail": Mail.SENT, "lease_until": 0.0, "due_at": None, "updated_at": NOW},
        ),
    ],
)
def test_a_step_writes_these_fields_and_no_others(
    before: Task, step: Callable[[Task], Task], written: dict[str, object]
) -> None:
    after = step(before)
    now = {name: getattr(after, name) for name in Task.__slots__ if getattr(after, name) != getattr(before, name)}
    assert now == {name: value for name, value in written.items() if value != getattr(before, name)}


def test_a_claim_that_is_put_off_never_was() -> None:
    claimed = QUEUED.claimed(NOW, 90)
    put_off = claimed.put_off(NOW, delay=5)
    assert put_off == replace(QUEUED, fence=claimed.fence, due_at=NOW + 5, not_before=NOW + 5, updated_at=NOW)


def test_a_slice_that_made_progress_and_is_put_off_counts_as_a_slice() -> None:
    claimed = QUEUED.claimed(NOW, 90)
    read = claimed.checkpointed(Checkpoint(64, b"", ""), size=128, rate=1.0, now=NOW, lease_seconds=90)
    put_off = read.put_off(NOW, delay=5)
    assert (put_off.status, put_off.attempts, put_off.slices, put_off.continued) == (Status.RUNNING, 0, 1, True)
    assert put_off.due_at == NOW + 5


def test_a_task_that_has_made_progress_stays_a_continuation_when_its_next_claim_is_put_off() -> None:
    read = QUEUED.claimed(NOW, 90).checkpointed(Checkpoint(64, b"", ""), size=128, rate=1.0, now=NOW, lease_seconds=90)
    waiting = read.released(NOW, delay=0)
    put_off = waiting.claimed(NOW, 90).put_off(NOW, delay=5)
    assert (put_off.status, put_off.attempts, put_off.slices, put_off.continued) == (Status.RUNNING, 0, 1, True)


def test_where_nothing_is_hashed_the_offset_is_zero() -> None:
    assert QUEUED.offset == 0
    assert QUEUED.claimed(NOW, 90).done("0" * 32, 0, NOW).offset == 0
    assert replace(QUEUED, status=Status.DONE).offset == 0  # of a version that kept no size


def test_a_claim_that_is_refused_says_which_task_it_was() -> None:
    held = QUEUED.claimed(NOW, 90)
    for refused, error in ((held, LeaseHeld), (held.failed(FAILURE, NOW), NothingToDo)):
        with pytest.raises(error, match=r"^t$"):
            refused.claimed(NOW, 90)
    with pytest.raises(TaskFinished, match=r"^t$"):
        held.failed(FAILURE, NOW).cancelled(NOW)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"name":"f"}', '{"name":"f","final_url":"u","last_modified":"x"}', '{"final_url":"u"}'],
)
def test_a_description_that_was_touched_by_hand_is_none(text: str) -> None:
    assert Representation.load(text) is None


def test_a_description_is_read_as_far_as_it_is_understood() -> None:
    assert Representation.load(FIRST.dump()) == FIRST
    least = Representation.load('{"name":1,"final_url":"u","proof":"better","later":[1]}')
    assert least == Representation(name="1", final_url="u")
    assert least is not None
    assert least.proof is Proof.LENGTH
    assert least.dump() == '{"name":"1","final_url":"u","proof":"length"}'


def test_a_failure_is_bounded_where_it_is_made() -> None:
    """A row of 260 KB does not fit into MariaDB's TEXT, and a task that cannot be written cannot end."""
    failure = Failure(FailureCode.PROTOCOL, "it began\r\n\x1b[31m" + "\U0001f600" * 65_000)
    assert failure.message.startswith("it began [31m\U0001f600")
    assert len(failure.message) == 400
    assert failure.message.isprintable()
    assert Failure(FailureCode.PROTOCOL, "x", "for the terminal") == Failure(FailureCode.PROTOCOL, "x")
