"""Statuses that ask for patience: a file that is being prepared, and a refusal that names its own end."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import File, Request, Script, head
from tests.support.origin.task_runner import Worker, patient
from urlsum.errors import FailureCode
from urlsum.worker.retry import MOST_PREPARING_SECONDS

if TYPE_CHECKING:
    from tests.integration.origin.conftest import Serve

FILE = File(random.Random(4).randbytes(300_000))
MD5 = hashlib.md5(FILE.content).hexdigest()


def after(times: int, status: str, *fields: str) -> Script:
    """``times`` responses with this status, then the file."""
    left = [times]

    def script(request: Request) -> list[bytes]:
        if left[0]:
            left[0] -= 1
            return [head(status, "Content-Length: 0", *fields)]
        return list(FILE(request))  # type: ignore[arg-type]

    return script


@pytest.mark.parametrize("status", ["202 Accepted", "403 Forbidden", "429 Slow Down", "503 Busy"])
@pytest.mark.parametrize("wait", ["120", "Sun, 06 Nov 1994 08:51:37 GMT"], ids=["seconds", "date"])
def test_a_wait_that_is_asked_for_is_granted(serve: Serve, status: str, wait: str) -> None:
    origin = serve(after(1, status, f"Retry-After: {wait}", "Date: Sun, 06 Nov 1994 08:49:37 GMT"))
    worker = Worker()
    task = worker.run(origin.url())
    assert task.md5 == MD5
    assert [round(delay) for delay in worker.delays] == [120]


@pytest.mark.parametrize("status", [520, 521, 522, 523, 524, 530])
def test_a_cdn_that_did_not_reach_its_server_is_asked_again(serve: Serve, status: int) -> None:
    assert Worker().run(serve(after(1, f"{status} Origin Error")).url()).md5 == MD5


@pytest.mark.parametrize("times", [3, 10, 40])
def test_a_file_that_is_being_prepared_is_waited_for_whatever_the_attempts(serve: Serve, times: int) -> None:
    worker = Worker(patient(max_attempts=2))
    task = worker.run(serve(after(times, "202 Accepted", "Retry-After: 60")).url())
    assert task.md5 == MD5
    assert len(worker.delays) == times
    assert all(delay > 59 for delay in worker.delays)
    # The longer it takes, the less often it is asked for.
    assert times < 40 or worker.delays[-1] > 200


def test_a_file_that_is_never_ready_is_given_up_after_a_day(serve: Serve) -> None:
    worker = Worker()
    task = worker.run(serve(after(10_000, "202 Accepted", "Retry-After: 7200")).url())
    assert task.error is not None
    assert (task.error.code, task.md5) == (FailureCode.HTTP, None)
    assert "still preparing the file" in task.error.message
    assert MOST_PREPARING_SECONDS < sum(worker.delays) < 1.5 * MOST_PREPARING_SECONDS


def test_without_a_wait_202_is_a_failure_that_says_so(serve: Serve) -> None:
    task = Worker().run(serve(after(1, "202 Accepted")).url())
    assert task.error is not None
    assert task.error.message.endswith("the server is still preparing the file (status 202)")
    assert task.slices == 1


def test_403_without_a_wait_is_final(serve: Serve) -> None:
    task = Worker().run(serve(after(1, "403 Forbidden")).url())
    assert (task.status, task.slices) == ("failed", 1)


def test_403_with_a_wait_is_tried_no_more_often_than_others(serve: Serve) -> None:
    task = Worker(patient(max_attempts=3)).run(serve(after(99, "403 Forbidden", "Retry-After: 1")).url())
    assert (task.status, task.slices) == ("failed", 3)
