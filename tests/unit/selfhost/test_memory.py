"""The memory limit of a container as its cgroup shows it, version 1 and 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfhost import memory
from selfhost.memory import MIB, KilledForMemory
from urlsum.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {1: ("memory/memory.limit_in_bytes", "memory/memory.oom_control"), 2: ("memory.max", "memory.events")}
UNLIMITED = {1: "9223372036854771712", 2: "max"}
EVENTS = {1: "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n", 2: "low 0\nhigh 0\nmax 9\noom 4\noom_kill {}\n"}


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest, tmp_path: Path) -> int:
    (tmp_path / "memory").mkdir()
    number: int = request.param
    return number


def write(folder: Path, version: int, limit: str, kills: int = 0) -> None:
    for name, text in zip(FILES[version], (f"{limit}\n", EVENTS[version].format(kills)), strict=True):
        (folder / name).write_text(text)


def test_a_limit_below_the_floor_is_refused_in_a_line_that_says_both(tmp_path: Path, version: int) -> None:
    write(tmp_path, version, str(48 * MIB))
    with pytest.raises(SettingsError, match=r"^this container may use 48 MiB of memory, and needs 128: raise"):
        memory.check(tmp_path)


@pytest.mark.parametrize("limit", [128 * MIB, 512 * MIB, None])
def test_a_limit_that_is_high_enough_or_absent_is_taken(tmp_path: Path, version: int, limit: int | None) -> None:
    write(tmp_path, version, UNLIMITED[version] if limit is None else str(limit))
    memory.check(tmp_path)
    assert memory.limit(tmp_path) == limit


def test_without_cgroups_there_is_no_limit_and_no_kill(tmp_path: Path) -> None:
    memory.check(tmp_path)
    assert (memory.limit(tmp_path), memory.kills(tmp_path)) == (None, 0)
    assert KilledForMemory(tmp_path).look() is None


def test_a_kill_is_noticed_once_with_the_limit(tmp_path: Path, version: int) -> None:
    write(tmp_path, version, str(128 * MIB), kills=3)
    watch = KilledForMemory(tmp_path)
    assert watch.look() is None
    write(tmp_path, version, str(128 * MIB), kills=4)
    reason = watch.look()
    assert reason is not None
    assert reason.startswith("killed for memory: the limit of 128 MiB is too low")
    assert watch.look() is None
