from __future__ import annotations

import os
import threading

import pytest

from urlsum import outage
from urlsum.errors import LeaseLost, QueueUnavailable, TableUnavailable
from urlsum.outage import LINE_SECONDS, Calls, Outage


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> Outage:
    return Outage("the table", clock=clock)


def fail(table: Outage, words: str = "no answer") -> TableUnavailable:
    with pytest.raises(TableUnavailable) as caught, table.write:
        raise TableUnavailable(words)
    return caught.value


def test_an_outage_is_a_line_in_ten_seconds_with_a_count_and_one_at_its_end(
    table: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(250):
        assert fail(table).reported
        clock.now += 0.1
    with table.write:
        pass
    with table.write:
        pass
    assert caplog.messages == [
        "no answer",
        "no answer (99 more failures since the last such line)",
        "no answer (99 more failures since the last such line)",
        "the table works again: 250 failures in 25 s",
    ]


def test_a_store_that_fails_every_other_time_does_not_fill_the_log(
    table: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        fail(table)
        with table.write:
            pass
        clock.now += LINE_SECONDS / 1000
    assert len(caplog.messages) <= 4


def test_reads_that_succeed_do_not_end_an_outage_of_writes(table: Outage, caplog: pytest.LogCaptureFixture) -> None:
    fail(table)
    with table.read:
        pass
    assert table.failing == Calls.WRITE
    assert caplog.messages == ["no answer"]
    with pytest.raises(LeaseLost), table.write:
        raise LeaseLost  # an answer
    assert not table.failing


def test_a_defect_says_nothing_of_the_store(table: Outage) -> None:
    fail(table)
    with pytest.raises(ZeroDivisionError), table.write:
        raise ZeroDivisionError
    assert table.failing


def test_an_error_that_is_made_of_a_reported_one_is_reported(table: Outage) -> None:
    error = QueueUnavailable("the table, which is the queue")
    error.__cause__ = fail(table)
    assert error.reported
    assert not QueueUnavailable("another").reported


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # by the test runner
def test_forked_processes_share_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """RQ forks one for each job: each would begin the outage, and its log, again."""
    shared = outage.shared()
    if not (child := os.fork()):
        shared.table.failed(TableUnavailable("of a child"))
        os._exit(0)
    os.waitpid(child, 0)
    assert shared.table.failing
    shared.table.failed(TableUnavailable("of the parent"))
    assert caplog.messages == []
    shared.table.answered()
    assert caplog.messages == ["the table works again: 2 failures in 0 s"]
    assert not shared.queue.failing


def test_many_threads_count_every_failure(table: Outage, caplog: pytest.LogCaptureFixture) -> None:
    threads = [threading.Thread(target=lambda: [fail(table) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.answered()
    assert caplog.messages == ["no answer", "the table works again: 800 failures in 0 s"]
