"""Of records of one cause, one in ten seconds is written, and a line says how many were left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from selfhost.bounded_log import MOST_CAUSES, SECONDS, BoundedLog

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounded(clock: Clock) -> Iterator[BoundedLog]:
    made = BoundedLog(clock)
    logger = logging.getLogger("test.bounded")
    logger.addFilter(made)
    yield made
    logger.removeFilter(made)


@pytest.fixture
def log(bounded: BoundedLog) -> logging.Logger:
    return logging.getLogger("test.bounded")


def test_one_record_of_a_cause_and_then_how_many_more(
    log: logging.Logger, bounded: BoundedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        log.warning("bad request from %s\nsecond line", number)
    log.warning("another cause")
    bounded.flush()
    assert caplog.messages == ["bad request from 0\nsecond line", "another cause"]
    clock.now += SECONDS
    bounded.flush()
    assert caplog.messages[2:] == ["999 more in 10 s like: bad request from 0"]
    assert caplog.records[2].levelno == logging.WARNING
    log.warning("bad request from %s\nsecond line", 1000)
    assert caplog.messages[3:] == ["bad request from 1000\nsecond line"]
    clock.now += SECONDS
    bounded.flush()
    bounded.flush()
    assert len(caplog.messages) == 4


def test_errors_from_different_places_are_different_causes(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    def one() -> None:
        raise ValueError

    def other() -> None:
        raise ValueError

    for function in (one, other, one, other):
        try:
            function()
        except ValueError:
            log.exception("an error in the application")
    assert len(caplog.messages) == 2


def test_causes_that_strangers_invent_are_bounded(
    log: logging.Logger, bounded: BoundedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10 * MOST_CAUSES):
        log.warning(f"invented {number}")  # noqa: G004 - the fault that is provoked
    assert len(caplog.messages) == MOST_CAUSES + 1
    clock.now += SECONDS
    bounded.flush()
    assert len(caplog.messages) == MOST_CAUSES + 2
