"""Which failed tests run again: those of a process that stood still meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes.stalls import stalled

ROOT = Path(__file__).parents[2]
PLUGIN = """
from tests.support.processes.stalls import RunsStalledTestsAgain

def pytest_configure(config):
    config.pluginmanager.register(RunsStalledTestsAgain(config))
"""
TESTS = """
import os, signal, subprocess, time

runs = []

def stand_still():
    me = os.getpid()
    subprocess.run(["sh", "-c", f"kill -STOP {me}; sleep 0.8; kill -CONT {me}"], check=True)

def test_that_fails_only_in_a_stall():
    runs.append(1)
    if len(runs) == 1:
        stand_still()
    assert len(runs) == 2

def test_that_fails_always():
    stand_still()
    assert not runs

def test_that_computes():
    until = time.process_time() + 0.8
    while time.process_time() < until:
        pass
    assert not runs
"""
AROUND = """
import pytest

@pytest.fixture
def missing():
    assert False

@pytest.fixture
def leaving():
    yield
    assert False

def test_that_cannot_start(missing):
    pass

def test_that_leaves_something(leaving):
    pass

def test_that_passes():
    pass

def test_that_fails():
    assert False

@pytest.mark.skip
def test_that_is_skipped():
    pass
"""


@pytest.mark.parametrize(
    ("wall", "computed", "expected"),
    [(0.05, 0.0, 0.0), (0.05, 0.05, 0.0), (2.05, 0.0, 2.0), (2.05, 2.0, 0.0), (2.05, 0.5, 1.5)],
)
def test_a_stall_is_time_without_ticks_and_without_computing(wall: float, computed: float, expected: float) -> None:
    assert stalled((100.0, 7.0), (100.0 + wall, 7.0 + computed)) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], ["-n", "1"]], ids=["in this process", "in another process"])
def test_a_test_that_failed_in_a_stall_runs_once_more(tmp_path: Path, processes: list[str]) -> None:
    shown = run(tmp_path, TESTS, *processes)
    assert "2 failed, 1 passed, 2 rerun" in shown, shown
    assert "FAILED test_it.py::test_that_fails_always" in shown
    assert "FAILED test_it.py::test_that_computes" in shown


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], ["-n", "1"]], ids=["in this process", "in another process"])
def test_what_fails_before_or_after_a_test_is_counted(tmp_path: Path, processes: list[str]) -> None:
    shown = run(tmp_path, AROUND, *processes)
    assert "1 failed, 2 passed, 1 skipped, 2 errors" in shown, shown
    assert "ERROR test_it.py::test_that_cannot_start" in shown
    assert "ERROR test_it.py::test_that_leaves_something" in shown


def run(folder: Path, tests: str, *options: str) -> str:
    """What pytest says of the tests with the plug-in."""
    (folder / "conftest.py").write_text(PLUGIN)
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), *options, str(folder)],
        cwd=folder,
        # The other plug-ins take most of the start of a process.
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
