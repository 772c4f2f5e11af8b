"""How many worker processes a machine runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from selfhost import worker_processes
from selfhost.worker_processes import cores, count

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("6400000 100000", 8),
        ("", 8),
        ("what is that", 8),
        (None, 8),  # no cgroup v2
    ],
)
def test_a_container_has_the_cores_of_its_quota(
    quota: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_processes, "cpus", lambda: 8)
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    assert cores(file) == expected


def test_a_setting_overrules_the_cores() -> None:
    assert count(3) == 3
    assert count(0) == cores()


def test_the_process_that_starts_the_workers_imports_little() -> None:
    code = "import sys, selfhost.worker; sys.exit(any(name in sys.modules for name in ('urlsum.wiring', 'ssl', 'h11')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
