"""The command, as a process of its own, against origins on loopback.

``start`` runs the installed one; ``run``, for a test that waits for its end, a process forked from one that has
imported it. What depends on how an interpreter starts is proven with the installed one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.origin.origin_server import OriginServer, Script
from tests.support.processes.command import Forked, forked

Serve = Callable[..., OriginServer]

COMMAND = str(Path(sys.executable).with_name("urlsum"))
_STATES = TemporaryDirectory(prefix="urlsum-states-")
# Loopback opened, and no patience: what is tried again is tried at once.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "URLSUM_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
    "URLSUM_RETRY_BASE_SECONDS": "0.01",
    "URLSUM_CONNECT_TIMEOUT": "5",
    "URLSUM_READ_TIMEOUT": "5",
    "LC_ALL": "C.UTF-8",
    "XDG_STATE_HOME": _STATES.name,
}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted origin that stops with the test."""
    with ExitStack() as stack:

        def start(script: Script, **options: object) -> OriginServer:
            return stack.enter_context(OriginServer(script, **options))  # type: ignore[arg-type]

        yield start


def without_summary(messages: str) -> str:
    """``messages`` without the last line of a run of several files, which contains times."""
    lines = messages.splitlines(keepends=True)
    assert lines
    assert re.fullmatch(r"urlsum: \d+ files, [\d.]+ [KMG]?i?B in [\d.]+ s: \d+ \w+(?:, \d+ \w+)*\n", lines[-1])
    return "".join(lines[:-1])


def states(folder: Path) -> dict[str, str]:
    """The setting for state files below ``folder``."""
    return {"XDG_STATE_HOME": str(folder / "states")}


@pytest.fixture(scope="session")
def command() -> Iterator[Forked]:
    with forked(ENVIRONMENT) as runner:
        yield runner


@pytest.fixture
def run(command: Forked, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``urlsum`` in an empty folder; keyword arguments are settings."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return command.run(arguments, stdin=stdin, cwd=tmp_path, env=ENVIRONMENT | states(tmp_path) | settings)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``urlsum``; what still runs at the end of the test is killed."""
    with ExitStack() as stack:

        def begin(*arguments: str, **settings: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [COMMAND, *arguments],
                    cwd=tmp_path,
                    env=ENVIRONMENT | states(tmp_path) | settings,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield begin
