"""The progress bar: on a terminal, and only there."""

from __future__ import annotations

import os
import pty
import random
import re
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from tests.integration.cli.conftest import COMMAND, ENVIRONMENT
from tests.support.origin.origin_server import File, Trickle

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

CONTENT = random.Random(5).randbytes(2_000_000)


def slowly(request: Request) -> Steps:
    first, content = File(CONTENT)(request)
    assert isinstance(content, memoryview)
    return [first, Trickle(bytes(content), every=0.12, size=100_000)]  # 2.4 s, 0.4 s longer than the rate needs


def shown(url: str) -> tuple[str, str]:
    """What a terminal on standard error shows, and what standard output got."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = subprocess.Popen([COMMAND, url], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    seen = b""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        ready, _, _ = select.select([controller], [], [], 0.1)
        try:
            piece = os.read(controller, 65_536) if ready else b""
        except OSError:  # the other end is closed
            break
        seen += piece
    os.close(controller)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return seen.decode(), out


def test_bytes_rate_and_eta_on_a_terminal_wiped_at_the_end(serve: Serve) -> None:
    url = serve(slowly).url("/reads.bam")
    seen, out = shown(url)
    assert out.endswith(f"  {url}\n")
    frames = seen.split("\r")
    pattern = r"reads\.bam: +\d+%\|.*\| [\d.]+[kM]?/1\.91M \[\d\d:\d\d<(\d\d:\d\d|\?), ([\d.]+[kM]?|\?)B/s\]"
    shown_times = [match[1] for frame in frames if (match := re.match(pattern, frame))]
    assert len(shown_times) > 3
    assert shown_times[0] == "?"  # connections are still being added
    assert shown_times[-1] != "?"
    assert frames[-1].strip() == ""
    assert frames[-2].strip() == ""


def test_nothing_where_nobody_watches(serve: Serve) -> None:
    done = subprocess.run([COMMAND, serve(slowly).url()], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
