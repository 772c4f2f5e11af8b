"""Docker for tests: builds images as the README does, and runs commands with time limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
BASES = ("python:3.13-slim", "mysql:8.4", "redis:7-alpine")
# For every command except a build, which fetches packages.
COMMAND_SECONDS = 120.0
BUILD_SECONDS = 900.0


def docker(*arguments: str, within: float = COMMAND_SECONDS, check: bool = True) -> str:
    """Run one docker command; return its output. Fail with its error message."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=within, check=False)
    if check and ended.returncode:
        pytest.fail(f"docker {' '.join(arguments)}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}")
    return ended.stdout.strip()


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found


def logs(container: str, *, since: float = 0.0) -> str:
    """What the container has written to both streams since then (epoch seconds)."""
    command = ["docker", "logs", "--since", f"{since:.0f}", container]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SECONDS, check=False
    ).stdout


def need_engine() -> None:
    """Skip if no engine responds or the base images are unavailable."""
    path = shutil.which("docker")
    if path is None or subprocess.run([path, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    for base in BASES:
        if subprocess.run([path, "image", "inspect", base], capture_output=True, check=False).returncode:
            pulled = subprocess.run([path, "pull", "--quiet", base], capture_output=True, text=True, check=False)
            if pulled.returncode:
                pytest.skip(f"the base image {base} is neither here nor to be had: {pulled.stderr.strip()}")


def build(tag: str, context: Path) -> None:
    docker("build", "--tag", tag, str(context), within=BUILD_SECONDS)


def eventually(holds: Callable[[], bool], within: float, *, what: str, every: float = 0.2) -> float:
    """Wait until ``holds``; return the seconds waited. Fail with ``what`` after ``within`` seconds."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > within:
            pytest.fail(f"not within {within:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - begin
