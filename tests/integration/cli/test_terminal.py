"""The command in a real terminal: the bar of several files, Ctrl-C and the same command again, a mistyped host."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import COMMAND, ENVIRONMENT, states
from tests.integration.cli.test_interrupt import CONTENT, HALF, MD5
from tests.support.origin.origin_server import File, Trickle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]

CTRL_C = b"\x03"


class Terminal:
    """The command on a terminal of 24 lines and 100 columns, which is its controlling one."""

    def __init__(self, *arguments: str, cwd: Path, **settings: str) -> None:
        self._controller, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 100))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", COMMAND, *arguments],
            cwd=cwd,
            env=ENVIRONMENT | states(cwd) | settings,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.text = ""

    def read_until(self, wanted: Callable[[str], object], seconds: float = 30.0) -> None:
        """Read until the text so far is ``wanted``, or the command ends."""
        until = time.monotonic() + seconds
        while not wanted(self.text):
            assert time.monotonic() < until, self.text
            ready, _, _ = select.select([self._controller], [], [], 0.1)
            if ready:
                try:
                    self.text += os.read(self._controller, 65_536).decode()
                except OSError:  # the other end is closed
                    return

    def press(self, key: bytes) -> None:
        os.write(self._controller, key)

    def end(self) -> int:
        """Read to the end; the exit status."""
        self.read_until(lambda text: False)
        os.close(self._controller)
        return self._process.wait(20)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def lines(self) -> list[str]:
        """What is left on the screen, without what a carriage return has overwritten."""
        texts = [line.rstrip("\r").rpartition("\r")[2].strip() for line in self.text.split("\n")]
        return [text for text in texts if text]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal; what still runs at the end of the test is killed."""
    started: list[Terminal] = []

    def start(*arguments: str, **settings: str) -> Terminal:
        started.append(Terminal(*arguments, cwd=tmp_path, **settings))
        return started[-1]

    yield start
    for each in started:
        each.kill()


class Slow:
    """Files that take a second; after ``heal`` none."""

    def __init__(self) -> None:
        self.healed = False

    def __call__(self, request: Request) -> Steps:
        first, content = File(CONTENT)(request)
        if self.healed or request.fields.get("range", "bytes=0-") != "bytes=0-":
            return [first, content]
        assert isinstance(content, memoryview)
        return [first, bytes(content[:HALF]), Trickle(bytes(content[HALF:]), every=0.1, size=150_000)]


def test_the_bar_counts_files_and_leaves_whole_lines(terminal: Callable[..., Terminal], serve: Serve) -> None:
    origin = serve(Slow())
    urls = [origin.url(f"/{index}") for index in range(3)]
    shown = terminal("-j", "2", *urls)
    assert shown.end() == 0
    assert re.search(r"\r0/3 files: +\d+%\|.*?\| [\d.]+[kM]/[\d.]+M \[\d\d:\d\d<(\?|\d\d:\d\d), ", shown.text)
    assert "/3 files: " in shown.text
    *lines, counts = shown.lines()
    assert lines == [f"{MD5}  {url}" for url in urls]
    assert re.fullmatch(r"urlsum: 3 files, 8\.6 MiB in [\d.]+ s: 3 OK", counts)


def test_ctrl_c_and_the_same_command_again(terminal: Callable[..., Terminal], serve: Serve) -> None:
    script = Slow()
    url = serve(script).url("/reads.bam")
    first = terminal(url)
    first.read_until(lambda text: re.search(r"reads\.bam: +[5-9]\d%", text))
    first.press(CTRL_C)
    assert first.end() == 130
    assert re.fullmatch(
        r"urlsum: interrupted; [12]\.\d MiB saved; run the same command again to resume", first.lines()[-1]
    )
    script.healed = True
    again = terminal(url)
    assert again.end() == 0
    resuming, digest = again.lines()
    assert re.fullmatch(rf"urlsum: {url}: resuming at [12]\.\d MiB", resuming)
    assert digest == f"{MD5}  {url}"


def test_a_refused_port_fails_after_one_quick_retry(terminal: Callable[..., Terminal]) -> None:
    began = time.monotonic()
    shown = terminal("http://127.0.0.1:9/")
    assert shown.end() == 1
    assert time.monotonic() - began < 10
    assert shown.text.count("trying again") == 1


def test_a_mistyped_host_fails_after_one_quick_retry_and_once_for_all_files(terminal: Callable[..., Terminal]) -> None:
    # The name exists nowhere (RFC 6761, 6.4). A resolver that does not answer has a second.
    urls = [f"http://mistyped.invalid/{index}" for index in range(20)]
    settings = {"RES_OPTIONS": "timeout:1 attempts:1", "URLSUM_RETRY_BASE_SECONDS": "60"}
    began = time.monotonic()
    shown = terminal(*urls, **settings)
    assert shown.end() == 1
    assert time.monotonic() - began < 30
    first, *others = [line for line in shown.lines() if ": dns: " in line]
    assert re.fullmatch(rf"urlsum: {urls[0]}: dns: .*; trying again in [01] s", first)
    assert len(others) == 20
    assert sum("trying again" in line for line in others) == 0
    for url, line in zip(urls[1:], others[1:], strict=True):
        assert line.startswith(f"urlsum: {url}: dns: mistyped.invalid does not resolve: ")
        assert "the host was not tried again for this file; check the spelling of the host name" in line
    assert shown.lines()[-1].endswith(": 20 FAILED")


def test_a_dead_host_of_a_list_is_not_waited_for_by_scripts_either(run: Run) -> None:
    lines = "".join(f"{MD5}  http://mistyped.invalid/{index}\n" for index in range(20))
    done = run("-c", "-j", "1", stdin=lines, RES_OPTIONS="timeout:1 attempts:1")
    assert done.returncode == 1
    assert done.stdout.count(": FAILED open or read\n") == 20
    assert done.stderr.count("trying again") == 4
    assert done.stderr.count("the host was not tried again for this file") == 19
