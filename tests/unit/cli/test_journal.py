"""The results of a list: how long they count, what a kill leaves, and when they go."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from urlsum.cli.journal import RESULT_SECONDS, Journal
from urlsum.cli.state import StateDirectory

if TYPE_CHECKING:
    from pathlib import Path

A, B = "https://example.org/a", "https://example.org/b"
RESULT = {"md5": "d41d8cd98f00b204e9800998ecf8427e"}
OTHER = {"md5": "0cc175b9c0f1b6a831c399e269772661"}
NOW = time.time()  # as the files of these tests


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "urlsum")


def written(directory: StateDirectory, *urls: str, at: float = NOW) -> Journal:
    """The journal of a run that was killed after it had read ``urls``."""
    journal = Journal(directory)
    for url in urls:
        journal.keep(url, RESULT, at)
    _age(directory, at)
    return journal


def _age(directory: StateDirectory, at: float) -> None:
    for path in directory.path.iterdir():
        os.utime(path, (at, at))


def later(directory: StateDirectory, now: float, *urls: str) -> Journal:
    journal = Journal(directory)
    journal.load(urls, now)
    return journal


def names(directory: StateDirectory) -> list[str]:
    return [path.name for path in directory.path.iterdir()]


def test_a_result_counts_for_a_day_and_for_its_url_only(directory: StateDirectory) -> None:
    assert later(directory, NOW, A).known(A) is None
    written(directory, A)
    assert later(directory, NOW + RESULT_SECONDS, A, B).known(A) == RESULT
    assert later(directory, NOW + 1, A, B).known(B) is None
    assert later(directory, NOW - 1, A).known(A) is None  # of this run, or of a clock that was set back
    assert later(directory, NOW + 1 + RESULT_SECONDS, A).known(A) is None
    assert names(directory) == []  # too old for any run


def test_the_latest_result_counts(directory: StateDirectory) -> None:
    written(directory, A, at=NOW - 10)
    newer = Journal(directory)
    newer.keep(A, OTHER, NOW)
    assert later(directory, NOW, A).known(A) == OTHER


def test_only_the_owner_may_read(directory: StateDirectory) -> None:
    written(directory, A)
    (path,) = directory.path.iterdir()
    assert (directory.path.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_a_kill_or_another_program_left_is_skipped(directory: StateDirectory) -> None:
    journal = written(directory, A)
    (path,) = directory.path.iterdir()
    with path.open("ab") as file:
        file.write(b'[]\n{"urlsum": 1}\n{"urlsum": 1, "url": 3, "at": 1, "result": {}}\n\0\0\n')
    journal.keep(B, OTHER, NOW)
    with path.open("ab") as file:
        file.write(b'{"urlsum": 1, "url": "https://exa')
    found = later(directory, NOW, A, B)
    assert (found.known(A), found.known(B)) == (RESULT, OTHER)


def test_half_a_line_of_a_full_disk_costs_only_its_own_result(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = written(directory, A)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        write(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        journal.keep(f"{A}/lost", RESULT, NOW)
    monkeypatch.undo()
    journal.keep(B, OTHER, NOW)
    found = later(directory, NOW, A, B)
    assert (found.known(A), found.known(B)) == (RESULT, OTHER)


def test_a_finished_run_removes_its_own_results_and_those_it_used(directory: StateDirectory) -> None:
    written(directory, A, B)
    run = later(directory, NOW, A, "https://example.org/c")
    assert run.known(A) == RESULT
    run.keep("https://example.org/c", OTHER, NOW)
    run.finish()
    # The result for b belongs to another list, which may be resumed still.
    rest = later(directory, NOW, A, B)
    assert (rest.known(A), rest.known(B), len(names(directory))) == (None, RESULT, 1)
    rest.finish()
    assert names(directory) == []


def test_a_run_that_is_not_finished_leaves_what_it_used(directory: StateDirectory) -> None:
    written(directory, A)
    assert later(directory, NOW, A).known(A) == RESULT
    assert later(directory, NOW, A).known(A) == RESULT
