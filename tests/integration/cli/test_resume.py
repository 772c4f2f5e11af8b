"""The same command resumes an interrupted one by itself, also after kill -9."""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import without_summary
from tests.integration.cli.test_interrupt import CONTENT, HALF, MD5, REREAD, Stalling, begun
from tests.support.origin.origin_server import HANG, File, Trickle, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess, Popen

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import OriginServer, Request, Steps

    Run = Callable[..., CompletedProcess[str]]
    Start = Callable[..., Popen[str]]

COUNT, SLOW = 200, 120
SMALL = [random.Random(index).randbytes(20_000) for index in range(COUNT)]


def kept(tmp_path: Path) -> list[dict[str, object]]:
    """What the state files contain: checkpoints, and the results in the journals."""
    folder = tmp_path / "states" / "urlsum"
    results = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(text) for text in [*(path.read_text() for path in folder.glob("*.json")), *results]]


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def first_bytes(origin: OriginServer, since: int) -> list[int]:
    """The first byte of each request after the first ``since``, without those of the closing proof."""
    asked = [each.fields.get("range", "bytes=0-") for each in origin.requests[since:]]
    ranges = [re.fullmatch(r"bytes=(\d+)-\d*", each) for each in asked if each != "bytes=0-65535"]
    return [int(each[1]) for each in ranges if each]


@pytest.mark.parametrize("options", [(), ("-c",)], ids=["url", "list"])
def test_the_same_command_goes_on_after_ctrl_c(
    start: Start, run: Run, serve: Serve, tmp_path: Path, options: tuple[str, ...]
) -> None:
    script = Stalling(HANG)
    origin = serve(script)
    (tmp_path / "f").write_text(f"{MD5}  {origin.url()}\n")
    arguments = [*options, "f"] if options else [origin.url()]
    process = start(*arguments)
    begun(origin, script)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.startswith("urlsum: interrupted; 1.4 MiB saved; run the same command again to resume\n")
    (state,) = kept(tmp_path)
    (folder,) = (tmp_path / "states").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700

    script.healed = True
    before = len(origin.requests)
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (0, f"{origin.url()}: OK\n" if options else f"{MD5}  {origin.url()}\n")
    assert done.stderr == f"urlsum: {origin.url()}: resuming at 1.4 MiB\n"
    assert isinstance(state["offset"], int)
    assert min(first_bytes(origin, before)) >= state["offset"] - REREAD
    assert kept(tmp_path) == []


def test_without_state_nothing_is_kept_or_resumed(start: Start, run: Run, serve: Serve, tmp_path: Path) -> None:
    script = Stalling(HANG)
    origin = serve(script)
    process = start(origin.url())
    begun(origin, script)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    script.healed = True
    before = len(origin.requests)
    assert run("--no-state", origin.url()).stdout == f"{MD5}  {origin.url()}\n"
    assert 0 in first_bytes(origin, before)
    assert len(kept(tmp_path)) == 1


class Manifest:
    """COUNT files; the one at SLOW stalls in its middle until ``heal``."""

    def __init__(self) -> None:
        self.healed = False
        self.stalled = 0

    def __call__(self, request: Request) -> Steps:
        index = int(request.path.strip("/"))
        if index != SLOW:
            return File(SMALL[index])(request)
        if self.healed:
            return File(CONTENT)(request)
        self.stalled += 1
        return [*File(CONTENT)(request)[:1], CONTENT[:HALF], Trickle(CONTENT[HALF:], every=0.02, size=64)]


@pytest.mark.parametrize("jobs", ["1", "8"])
def test_a_manifest_after_kill_9_rereads_one_checkpoint_at_most(
    start: Start, run: Run, serve: Serve, tmp_path: Path, jobs: str
) -> None:
    script = Manifest()
    origin = serve(script)
    contents = [CONTENT if index == SLOW else SMALL[index] for index in range(COUNT)]
    lines = [f"{hashlib.md5(each).hexdigest()}  {origin.url(f'/{index}')}\n" for index, each in enumerate(contents)]
    (tmp_path / "f").write_text("".join(lines))
    process = start("-c", "f", "-j", jobs)
    wait_until(lambda: any("offset" in state for state in kept(tmp_path)))
    results = SLOW if jobs == "1" else COUNT - 1
    wait_until(lambda: sum("result" in state for state in kept(tmp_path)) == results)
    process.kill()
    process.wait(20)
    offset = next(state["offset"] for state in kept(tmp_path) if "offset" in state)
    assert isinstance(offset, int)
    assert offset > HALF - 64

    script.healed = True
    before = len(origin.requests)
    done = run("-c", "f", "-j", jobs)
    assert (done.returncode, done.stdout) == (
        0,
        "".join(f"{origin.url(f'/{index}')}: OK\n" for index in range(COUNT)),
    )
    asked = Counter(request.path for request in origin.requests[before:])
    finished = {f"/{index}" for index in range(COUNT) if index < SLOW or (jobs != "1" and index != SLOW)}
    assert finished.isdisjoint(asked)
    slow = [each for each in origin.requests[before:] if each.path == f"/{SLOW}"]
    firsts = [int(re.findall(r"\d+", each.fields["range"])[0]) for each in slow]
    assert min(first for first in firsts if first) >= offset - REREAD
    assert kept(tmp_path) == []


def test_results_are_kept_until_they_are_printed(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(SMALL[0]))
    urls = [origin.url("/a"), origin.url("/b")]
    assert run("-o", "/dev/full", *urls).returncode == 1
    assert kept(tmp_path)
    before = len([each for each in origin.requests if each.path == "/a"])
    done = run(*urls)
    assert done.returncode == 0
    assert done.stderr.startswith("urlsum: resuming: files that the interrupted run has finished are not read again\n")
    assert len([each for each in origin.requests if each.path == "/a"]) == before
    assert kept(tmp_path) == []


def test_a_url_that_is_listed_twice_is_read_twice(run: Run, serve: Serve) -> None:
    origin = serve(File(SMALL[0]))
    done = run(origin.url(), origin.url())
    assert (done.returncode, without_summary(done.stderr)) == (0, "")
    assert sum("if-range" not in each.fields for each in origin.requests) >= 2 * 2


def test_after_fail_fast_the_same_command_reads_only_the_rest(run: Run, serve: Serve) -> None:
    content: bytes | None = None

    def script(request: Request) -> Steps:
        if request.path == "/b" and content is None:
            return [head("404 Not Found", "Content-Length: 0")]
        return File(SMALL[0])(request)

    origin = serve(script)
    urls = [origin.url("/a"), origin.url("/b")]
    assert run("--fail-fast", *urls).returncode == 1
    content = SMALL[0]
    before = len(origin.requests)
    assert run("--fail-fast", *urls).returncode == 0
    assert {each.path for each in origin.requests[before:]} == {"/b"}


def test_a_damaged_state_file_is_no_obstacle(start: Start, run: Run, serve: Serve, tmp_path: Path) -> None:
    script = Stalling(HANG)
    origin = serve(script)
    process = start(origin.url())
    begun(origin, script)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    (path,) = (tmp_path / "states" / "urlsum").glob("*.json")
    path.write_bytes(b"\0" * 100)
    script.healed = True
    done = run(origin.url())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{MD5}  {origin.url()}\n", "")


def test_a_failed_file_resumes_too(run: Run, serve: Serve) -> None:
    file, healed = File(CONTENT), False

    def script(request: Request) -> Steps:
        if healed:
            return file(request)
        if request.fields.get("range", "bytes=0-") == "bytes=0-":
            return [*file(request)[:1], CONTENT[:HALF]]
        return [head("404 Not Found", "Content-Length: 0")]

    origin = serve(script)
    done = run(origin.url())
    assert done.returncode == 1
    assert done.stderr.endswith("1.4 MiB saved for the next run\n")
    healed = True
    done = run(origin.url())
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {origin.url()}\n")
    assert "resuming at 1.4 MiB" in done.stderr
