"""The automatic state files: where they are, how long they count, and when they go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from urlsum.cli.state import MOST_AGE_SECONDS, RESULT_SECONDS, StateDirectory, default_directory

URL = "https://example.org/a"
RESULT = {"md5": "d41d8cd98f00b204e9800998ecf8427e"}


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/x"}, Path("/x/urlsum")),
        ({"XDG_STATE_HOME": "relative"}, Path("/home/jane/.local/state/urlsum")),
        ({"XDG_STATE_HOME": ""}, Path("/home/jane/.local/state/urlsum")),
        ({}, Path("/home/jane/.local/state/urlsum")),
    ],
)
def test_the_place_is_that_of_the_specification(environment: dict[str, str], expected: Path) -> None:
    assert default_directory(environment, lambda: Path("/home/jane")) == expected


def test_a_user_without_a_home_has_none() -> None:
    assert default_directory({}, no_home) is None


def test_a_result_counts_for_a_day_and_for_its_url_only(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "urlsum")
    directory.prepare()
    state = directory.file(URL)
    assert state.load_result(1000.0) is None
    state.save_result(RESULT, 1000.0)
    assert state.load() is None
    assert state.load_result(1000.0 + RESULT_SECONDS) == RESULT
    assert state.load_result(1001.0 + RESULT_SECONDS) is None
    assert state.load_result(999.0) is None  # of this run, or of a clock that was set back
    other = directory.file(f"{URL}?b")
    state.path.rename(other.path)
    assert other.load_result(1000.0) is None


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"[]", b'{"urlsum": 1', b'{"urlsum": 1, "url": 3, "result": {}}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    state = StateDirectory(tmp_path).file(URL)
    state.path.write_bytes(content)
    assert (state.load(), state.load_result(1000.0)) == (None, None)


def test_what_nobody_resumes_is_removed(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "urlsum")
    directory.prepare()
    old, young = directory.file("https://example.org/old"), directory.file("https://example.org/young")
    for state in (old, young):
        state.save_result(RESULT, 1000.0)
    long_ago = time.time() - MOST_AGE_SECONDS - 60
    os.utime(old.path, (long_ago, long_ago))
    StateDirectory(tmp_path / "urlsum").prepare()
    assert (old.exists, young.exists) == (False, True)


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "a" / "urlsum")
    directory.prepare()
    state = directory.file(URL)
    state.save_result(RESULT, 1000.0)
    assert (directory.path.stat().st_mode & 0o777, state.path.stat().st_mode & 0o777) == (0o700, 0o600)
