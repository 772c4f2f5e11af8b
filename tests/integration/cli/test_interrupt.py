"""Ctrl-C and SIGTERM in the middle of a file, and going on from the state file."""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import HANG, File, Trickle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess, Popen

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import OriginServer, Request, Step, Steps

    Run = Callable[..., CompletedProcess[str]]
    Start = Callable[..., Popen[str]]

CONTENT = random.Random(4).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
HALF = 1_500_000
# The proof of version re-reads 64 KiB before the checkpoint, which lies at most 64 bytes before what was hashed.
REREAD = 65_536 + 64


class Stalling:
    """The first half of the file at once, then ``rest``; a well-behaved file after ``heal``."""

    def __init__(self, rest: Step) -> None:
        self.file = File(CONTENT)
        self.rest = rest
        self.healed = False
        self.sent = 0

    def __call__(self, request: Request) -> Steps:
        if self.healed:
            return self.file(request)
        self.sent += 1
        return [*self.file(request)[:1], CONTENT[:HALF], self.rest]


REST: dict[str, Step] = {"silent": HANG, "slow": Trickle(CONTENT[HALF:], every=0.05, size=64)}


def begun(origin: OriginServer, script: Stalling) -> None:
    """Wait until the first half is surely hashed."""
    until = time.monotonic() + 20
    while not script.sent:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert origin.requests
    time.sleep(0.5)


@pytest.mark.parametrize("rest", ["silent", "slow"])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_read_is_kept_and_gone_on_from(
    start: Start, run: Run, serve: Serve, tmp_path: Path, rest: str, signum: int, status: int
) -> None:
    script = Stalling(REST[rest])
    origin = serve(script)
    process = start("--state", "s", origin.url())
    begun(origin, script)
    asked = time.monotonic()
    process.send_signal(signum)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - asked < 3
    assert (process.returncode, out) == (status, "")
    assert err == "urlsum: interrupted; 1.4 MiB saved in s; run the same command again to resume\n"
    offset = json.loads((tmp_path / "s").read_text())["offset"]
    assert HALF - 64 < offset < HALF + 64 * 200

    script.healed = True
    before = len(origin.requests)
    done = run("--state", "s", origin.url())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{MD5}  {origin.url()}\n", "")
    # All but that with which the closing proof compares the first bytes.
    asked_for = [each.fields["range"] for each in origin.requests[before:]]
    ranges = [re.fullmatch(r"bytes=(\d+)-\d*", each) for each in asked_for if each != "bytes=0-65535"]
    assert ranges
    assert all(found and int(found[1]) >= offset - REREAD for found in ranges)
    assert not (tmp_path / "s").exists()


def test_without_state_files_the_message_says_what_would_have_helped(start: Start, serve: Serve) -> None:
    script = Stalling(HANG)
    origin = serve(script)
    process = start("--no-state", origin.url())
    begun(origin, script)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "urlsum: interrupted; progress lost, because of --no-state\n"


def test_a_wait_between_tries_is_interrupted_at_once(start: Start, run: Run) -> None:
    process = start("http://127.0.0.1:9/", URLSUM_RETRY_BASE_SECONDS="60")
    assert process.stderr is not None
    assert "trying again" in process.stderr.readline()
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert time.monotonic() - asked < 10  # of a wait of 60 s


def test_a_state_is_written_while_the_work_goes_on(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Stalling(Trickle(CONTENT[HALF:], every=0.02, size=64))
    origin = serve(script)
    process = start("--state", "s", origin.url(), URLSUM_CHECKPOINT_SECONDS="0.1")
    begun(origin, script)
    process.kill()  # no chance to say good-bye
    process.wait(20)
    assert json.loads((tmp_path / "s").read_text())["offset"] > HALF - 64


def test_a_foreign_state_is_refused_and_left_alone(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT))
    (tmp_path / "s").write_text("precious notes")
    done = run("--state", "s", origin.url())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "urlsum: s: not a state file of urlsum; name another file or remove it\n"
    assert (tmp_path / "s").read_text() == "precious notes"
    assert origin.requests == []
