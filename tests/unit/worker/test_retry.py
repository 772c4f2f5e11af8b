from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.support.stores.tables import NOW, new_task
from urlsum import errors
from urlsum.errors import FailureCode, HttpFailed, OriginError
from urlsum.task import Checkpoint, Failure
from urlsum.worker import retry

DAY = 86_400.0
ALL: list[type[OriginError]] = [kind for kind in OriginError.__subclasses__() if kind is not HttpFailed]


def wait(error: OriginError, attempts: int = 1, fraction: float = 1.0) -> float | None:
    return retry.delay(error, attempts=attempts, max_attempts=5, base_seconds=5, fraction=lambda: fraction)


def test_every_failure_code_has_a_policy_and_an_error() -> None:
    assert set(retry.POLICIES) == set(FailureCode)
    kinds: list[type[OriginError]] = [*ALL, HttpFailed, OriginError]
    assert {kind.code for kind in kinds} == set(FailureCode)


def test_the_wait_doubles_up_to_the_longest_message_delay() -> None:
    timed_out = errors.TimedOut("slow")
    waits = [
        retry.delay(timed_out, attempts=n, max_attempts=99, base_seconds=5, fraction=lambda: 1.0)
        for n in (0, 1, 2, 3, 50)
    ]
    assert waits == [5, 5, 10, 20, 900]


def test_a_file_that_is_being_replaced_is_left_alone_for_longer() -> None:
    assert wait(errors.Changed("another ETag")) == 60


def test_jitter_takes_up_to_half_of_the_wait() -> None:
    assert wait(errors.TimedOut("slow"), fraction=0.0) == 2.5


def test_attempts_without_progress_are_bounded() -> None:
    assert wait(errors.Incomplete("cut"), attempts=4) is not None
    assert wait(errors.Incomplete("cut"), attempts=5) is None
    assert wait(errors.TlsFailed("expired"), attempts=1) is not None
    assert wait(errors.TlsFailed("expired"), attempts=2) is None


@pytest.mark.parametrize("kind", [errors.Blocked, errors.TooLarge, errors.BadRedirect, errors.Unverifiable])
def test_what_another_try_cannot_cure_ends_at_once(kind: type[OriginError]) -> None:
    assert wait(kind("no")) is None


def test_tls_that_the_server_does_not_have_is_final() -> None:
    assert wait(errors.TlsUnsupported("TLS 1.0")) is None
    assert errors.TlsUnsupported.code is FailureCode.TLS


@pytest.mark.parametrize(
    "status",
    [408, 420, 421, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 527, 529, 530, 598, 599],
)
def test_passing_statuses_are_tried_again(status: int) -> None:
    assert wait(HttpFailed(status, "later")) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 430, 451, 501, 505, 507, 508, 511, 525, 526, 531, 600])
def test_other_statuses_are_final(status: int) -> None:
    assert wait(HttpFailed(status, "no")) is None


def test_a_task_is_spent_after_its_tries_or_after_weeks() -> None:
    task = new_task()
    assert retry.spent(task, attempts=4, max_attempts=5, now=NOW, max_task_hours=168) is None
    died = retry.spent(task, attempts=5, max_attempts=5, now=NOW, max_task_hours=168)
    assert died == Failure(FailureCode.INTERNAL, "workers stopped 5 times without making progress")
    known = Failure(FailureCode.TIMEOUT, "silent")
    assert retry.spent(replace(task, error=known), attempts=5, max_attempts=5, now=NOW, max_task_hours=168) == known
    old = retry.spent(
        replace(task, slices=retry.MAX_SLICES + 1), attempts=0, max_attempts=5, now=NOW, max_task_hours=168
    )
    assert old is not None
    assert old.code is FailureCode.TIMEOUT


def test_retry_after_lengthens_the_wait_within_bounds() -> None:
    assert wait(HttpFailed(503, "busy", retry_after=120.0)) == 120
    assert wait(HttpFailed(503, "busy", retry_after=0.0)) == 5
    assert wait(HttpFailed(503, "busy", retry_after=10.0**9)) == 6 * 3600


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (errors.Blocked("no"), []),
        (errors.DnsFailed("no"), [5, 10, 20, 40]),
        (errors.AddressRefused("no"), [5, 10, 20, 40]),
        (errors.ConnectFailed("no"), [5, 10, 20, 40]),
        (errors.TlsFailed("no"), [5]),
        (HttpFailed(503, "no"), [5, 10, 20, 40]),
        (errors.ProtocolViolated("no"), [5]),
        (errors.Incomplete("no"), [5, 10, 20, 40]),
        (errors.Changed("no"), [60, 120, 240, 480]),
        (errors.TimedOut("no"), [5, 10, 20, 40]),
        (errors.TooLarge("no"), []),
        (errors.BadRedirect("no"), []),
        (errors.Unverifiable("no"), []),
        (OriginError("no"), [5, 10, 20, 40]),
    ],
)
def test_each_failure_is_tried_so_often_after_such_waits(error: OriginError, waits: list[float]) -> None:
    given = [wait(error, attempts) for attempts in range(1, 7)]
    assert given == [*waits, *[None] * (6 - len(waits))]


def test_the_least_of_both_bounds_on_attempts_counts() -> None:
    tls = errors.TlsFailed("expired")
    assert retry.delay(tls, attempts=1, max_attempts=1, base_seconds=5) is None
    assert retry.delay(errors.TimedOut("slow"), attempts=1, max_attempts=1, base_seconds=5) is None


@pytest.mark.parametrize("status", [202, 403])
def test_a_status_that_waits_is_tried_again_only_where_the_server_says_when(status: int) -> None:
    assert wait(HttpFailed(status, "wait")) is None
    assert wait(HttpFailed(status, "wait", retry_after=0.0)) == 5
    assert wait(HttpFailed(status, "wait", retry_after=100.0)) == 100


@pytest.mark.parametrize("status", [204, 401, 404, 410])
def test_a_final_status_stays_final_whatever_the_server_says(status: int) -> None:
    assert wait(HttpFailed(status, "no", retry_after=100.0)) is None


def test_a_file_that_is_being_prepared_is_awaited_for_a_day_and_less_and_less_often() -> None:
    tape = HttpFailed(202, "from tape", retry_after=10.0)
    assert retry.preparing(tape, seconds=0.0) == 0.0
    assert retry.preparing(tape, seconds=3000.0) == 300.0
    assert retry.preparing(tape, seconds=retry.MOST_PREPARING_SECONDS - 1) == pytest.approx(8639.9)
    assert retry.preparing(tape, seconds=retry.MOST_PREPARING_SECONDS) is None


@pytest.mark.parametrize(
    "error", [HttpFailed(202, "without a word"), HttpFailed(503, "busy", retry_after=10.0), errors.TimedOut("slow")]
)
def test_what_is_not_being_prepared_counts_as_a_try(error: OriginError) -> None:
    error.retry_after = error.retry_after if isinstance(error, HttpFailed) else 10.0
    assert retry.preparing(error, seconds=100.0) is None


def test_the_last_slice_that_a_task_may_have_is_worked() -> None:
    task = new_task(slices=retry.MAX_SLICES)
    assert retry.spent(task, attempts=0, max_attempts=5, now=NOW, max_task_hours=168) is None
    ended = retry.spent(
        replace(task, slices=retry.MAX_SLICES + 1), attempts=0, max_attempts=5, now=NOW, max_task_hours=168
    )
    assert ended == Failure(FailureCode.TIMEOUT, f"not finished after {retry.MAX_SLICES} slices of work")


def spent_at(seconds: float, hours: int, days: int = 30, error: Failure | None = None) -> Failure | None:
    task = new_task(expires_at=int(NOW + days * DAY), error=error)
    return retry.spent(task, attempts=0, max_attempts=5, now=NOW + seconds, max_task_hours=hours)


def test_a_task_ends_after_max_task_hours_or_when_it_expires() -> None:
    assert spent_at(168 * 3600 - 1, 168) is None
    assert spent_at(168 * 3600, 168) == Failure(FailureCode.TIMEOUT, "not finished within 168 hours of the submission")
    assert spent_at(2 * DAY, 168, days=2) == Failure(
        FailureCode.TIMEOUT, "not finished within 48 hours of the submission"
    )
    assert spent_at(29 * DAY, 0) is None
    silent = Failure(FailureCode.TIMEOUT, "no data for 30 s")
    assert spent_at(8 * DAY, 168, error=silent) == Failure(
        FailureCode.TIMEOUT, "not finished within 168 hours of the submission; last error: no data for 30 s"
    )
    inside = Failure(FailureCode.CONNECT, "admin.corp.example: could not connect to 10.0.0.7 on port 22")
    late = spent_at(8 * DAY, 168, error=inside)
    assert late is not None
    assert "urlsum could not connect to the host of this URL" in late.message
    assert "corp" not in late.message


def test_a_task_of_the_command_line_has_no_limit() -> None:
    task = new_task(expires_at=0)
    assert retry.must_end_by(task, 0) == math.inf
    assert retry.spent(task, attempts=0, max_attempts=5, now=NOW + 400 * DAY, max_task_hours=0) is None


WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("age", "count", "rate", "late"),
    [
        # A file of 604,800,000 bytes needs 1,000 bytes per second. In the first hour half of it suffices.
        (100.0, 50_000, 501.0, False),
        (100.0, 40_000, 400.0, True),
        (3599.0, 3599 * 510, 510.0, False),
        (3600.0, 3600 * 510, 510.0, True),
        (3600.0, 3600 * 1000, 1000.0, False),
        # It waited for hours and then reads well, or reads well and has a slow minute.
        (50_000.0, 60_000, 1200.0, False),
        (3 * DAY, int(3 * DAY * 1001), 10.0, False),
        (3 * DAY, int(3 * DAY * 990), 10.0, True),
        # The end is near.
        (WEEK - 60, 604_800_000 - 70_000, 1000.0, True),
        (WEEK - 60, 604_800_000 - 50_000, 1000.0, False),
        (WEEK - 60, 604_800_000, 1000.0, False),
        (WEEK + 60, 604_000_000, 1e9, True),
    ],
)
def test_a_file_is_too_slow_if_its_rest_cannot_come_in_time(age: float, count: int, rate: float, late: bool) -> None:
    task = new_task()
    why = retry.too_slow(task, size=604_800_000, count=count, rate=rate, now=NOW + age, max_task_hours=168)
    assert (why is not None) is late


def test_a_file_that_is_too_slow_is_told_its_size_its_rate_and_the_limit() -> None:
    why = retry.too_slow(new_task(), size=5 * 2**40, count=2**20, rate=12 * 2**10, now=NOW + 60, max_task_hours=168)
    assert why == (
        "5.0 TiB at 17.1 KiB per second cannot end within 168 hours of the submission, the limit of this service;"
        " 1.0 MiB had been read"
    )
    assert wait(errors.TooSlow(why)) is None


def test_tiny_pieces_are_final_or_the_progress_of_each_try_would_allow_the_next() -> None:
    assert wait(errors.TooCostly("pieces of very few bytes")) is None


def test_a_file_waits_for_its_turn_for_a_tenth_of_the_time_that_it_has_waited() -> None:
    task = new_task(created_at=NOW)
    waits = [retry.turn_delay(task, now=NOW + waited) for waited in (0, 10, 100, 1000, 10_000)]
    assert waits == [2.0, 2.0, 10.0, 100.0, 300.0]
    read = replace(task, checkpoint=Checkpoint(64, b"", ""))
    assert retry.turn_delay(read, now=NOW + 10_000) == 2.0
