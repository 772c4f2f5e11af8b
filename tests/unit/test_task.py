from __future__ import annotations

from dataclasses import replace

import pytest

from urlsum.errors import FailureCode, LeaseHeld, NotDue, NothingToDo, TaskFinished
from urlsum.task import Checkpoint, Failure, Mail, Proof, Representation, Status, Task

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


def test_a_task_that_is_sent_again_can_be_taken_before_the_next_look_at_it() -> None:
    waiting = QUEUED.claimed(NOW, 90).retried(FAILURE, NOW + 1, delay=300)
    again = waiting.resent(NOW + 400, wait=200)
    assert (again.due_at, again.fence, again.updated_at) == (NOW + 600, 2, waiting.updated_at)
    assert again.claimed(NOW + 400, 90).fence == 3


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
