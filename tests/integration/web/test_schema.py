"""The API keeps what /openapi.json says, whatever is sent: Schemathesis, with all of its checks, over a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import openapi
from tests.support.web import served

if TYPE_CHECKING:
    from tests.integration.web.conftest import World

ROOT = Path(__file__).parents[3]


def test_the_committed_description_is_the_one_that_is_served(world: World) -> None:
    committed = openapi.DOCUMENT.read_text(encoding="utf-8")
    assert committed == openapi.document(), "run `make openapi` and commit the result"
    with served(world.app()) as server:
        assert server.request("GET", "/openapi.json").json() == json.loads(committed)


def fuzzed(world: World, folder: Path, *options: str) -> int:
    """How many cases passed all checks; the report of Schemathesis is shown when one did not."""
    with served(world.app()) as server:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", "--no-color", "--checks", "all"),
                *("--continue-on-failure", *options, f"http://127.0.0.1:{server.port}/openapi.json"),
            ],
            cwd=folder,  # where it would leave its own files
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.fuzz", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout
    passed = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert passed, run.stdout
    assert "3 selected / 3 total" in run.stdout
    sys.stdout.write(run.stdout)
    return int(passed[2])


def test_some_hundred_cases_break_nothing(world: World, tmp_path: Path) -> None:
    assert fuzzed(world, tmp_path, "--max-examples", "10") > 100


@pytest.mark.long
@pytest.mark.timeout(900)
def test_thousands_of_cases_break_nothing(world: World, tmp_path: Path) -> None:
    assert fuzzed(world, tmp_path, "--max-examples", "500") >= 1000
