"""How a list is divided among processes."""

from __future__ import annotations

import os
import sys

import pytest

from urlsum.cli.interrupt import Stop
from urlsum.cli.pool import Schedule
from urlsum.cli.processes import LEAST_FILES, MOST_PROCESSES, Processes, Share, shares

USUAL = Share(8, 8, 8)


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("threading.active_count", lambda: 1)


def test_the_shares_are_the_whole() -> None:
    assert shares(LEAST_FILES, 2, USUAL) == [Share(4, 4, 4), Share(4, 4, 4)]
    assert shares(LEAST_FILES, 3, Share(7, 8, 64)) == [Share(3, 3, 22), Share(2, 3, 21), Share(2, 2, 21)]
    assert len(shares(LEAST_FILES, 96, Share(64, 64, 64))) == MOST_PROCESSES


@pytest.mark.parametrize(
    ("files", "cores", "whole"),
    [
        (LEAST_FILES - 1, 2, USUAL),
        (LEAST_FILES, 1, USUAL),
        (LEAST_FILES, 2, Share(1, 8, 8)),
        (LEAST_FILES, 2, Share(8, 1, 8)),
        (LEAST_FILES, 2, Share(8, 8, 1)),
    ],
)
def test_what_cannot_be_divided_is_read_by_one(files: int, cores: int, whole: Share) -> None:
    assert shares(files, cores, whole) == []


def test_other_systems_and_threads_fork_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 2)
    assert shares(LEAST_FILES, 2, USUAL) == []
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert shares(LEAST_FILES, 2, USUAL) == []


def test_a_system_without_a_place_for_processes_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    assert not Processes([], Schedule([], 8), [USUAL], lambda *_: None, stop=Stop()).start()
