"""The automatic state files: where they are, how long they count, and when they go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from urlsum.cli.state import MOST_AGE_SECONDS, StateDirectory, default_directory
from urlsum.md5 import MD5
from urlsum.task import Checkpoint

URL = "https://example.org/a"
BLOCK = MD5()
BLOCK.update(bytes(64))
CHECKPOINT = Checkpoint(*BLOCK.checkpoint(), "v1")


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


def test_a_checkpoint_counts_for_its_url_only(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "urlsum")
    directory.prepare()
    state = directory.file(URL)
    state.save(CHECKPOINT, None)
    assert state.load() == (CHECKPOINT, None)
    other = directory.file(f"{URL}?b")
    state.path.rename(other.path)
    assert other.load() is None


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"[]", b'{"urlsum": 1', b'{"urlsum": 1, "url": 3, "result": {}}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    state = StateDirectory(tmp_path).file(URL)
    state.path.write_bytes(content)
    assert state.load() is None


def test_what_nobody_resumes_is_removed(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "urlsum")
    directory.prepare()
    old, young = directory.file("https://example.org/old"), directory.file("https://example.org/young")
    for state in (old, young):
        state.save(CHECKPOINT, None)
    long_ago = time.time() - MOST_AGE_SECONDS - 60
    os.utime(old.path, (long_ago, long_ago))
    StateDirectory(tmp_path / "urlsum").prepare()
    assert (old.exists, young.exists) == (False, True)


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "a" / "urlsum")
    directory.prepare()
    state = directory.file(URL)
    state.save(CHECKPOINT, None)
    assert (directory.path.stat().st_mode & 0o777, state.path.stat().st_mode & 0o777) == (0o700, 0o600)
