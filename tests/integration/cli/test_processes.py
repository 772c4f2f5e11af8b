"""A long list is divided among processes: what kills and signals leave, and what the processes tell each other."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.test_resume import kept, wait_until
from tests.support.origin.origin_server import HANG, File, answers, head
from urlsum.cli.processes import LEAST_FILES, MOST_DEATHS
from urlsum.origin.parallel.concurrency import cpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess, Popen

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]
    Start = Callable[..., Popen[str]]

pytestmark = pytest.mark.skipif(cpus() < 2, reason="one CPU: there is nothing to divide")

COUNT = LEAST_FILES + 6
CONTENT = random.Random(11).randbytes(30_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
JOBS = 4


def children(process: Popen[str]) -> list[int]:
    """The ids of the processes that the command has started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Holding:
    """Well-behaved files, but those at ``held`` stop after their first half until ``heal``."""

    def __init__(self, *held: int) -> None:
        self.held = {f"/{index}" for index in held}
        self.healed = False
        self.asked: Counter[str] = Counter()

    def __call__(self, request: Request) -> Steps:
        self.asked[request.path] += 1
        if self.healed or request.path not in self.held:
            return File(CONTENT, keep=True)(request)
        return [*File(CONTENT)(request)[:1], CONTENT[: len(CONTENT) // 2], HANG]


def listed(tmp_path: Path, urls: list[str]) -> str:
    (tmp_path / "urls").write_text("".join(f"{url}\n" for url in urls))
    return "urls"


def urls_of(base: Callable[..., str]) -> list[str]:
    return [base(f"/{index}") for index in range(COUNT)]


def lines_of(urls: list[str]) -> str:
    return "".join(f"{MD5}  {url}\n" for url in urls)


def test_a_long_list_is_read_by_processes_and_printed_in_order(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Holding(COUNT - 1)
    origin = serve(script)
    urls = urls_of(origin.url)
    process = start("-j", str(JOBS), "--connections", "4", "-i", listed(tmp_path, urls), URLSUM_READ_TIMEOUT="60")
    wait_until(lambda: len(script.asked) == COUNT)
    pids = children(process)
    assert len(pids) == min(cpus(), JOBS)
    assert origin.connections <= 4
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert not any(map(is_running, pids))


def test_short_lists_and_single_files_start_no_process(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Holding(0)
    urls = urls_of(serve(script).url)[: LEAST_FILES - 1]
    process = start("-j", str(JOBS), "-i", listed(tmp_path, urls), URLSUM_READ_TIMEOUT="60")
    wait_until(lambda: script.asked["/0"])
    assert children(process) == []


def test_a_killed_process_is_replaced_and_its_files_are_read_again(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Holding(5)
    urls = urls_of(serve(script).url)
    process = start("-j", str(JOBS), "-i", listed(tmp_path, urls), URLSUM_READ_TIMEOUT="60")
    wait_until(lambda: len(script.asked) == COUNT)
    script.healed = True
    for pid in children(process):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, lines_of(urls))
    assert err.endswith(f": {COUNT} OK\n")
    assert kept(tmp_path) == []


def test_a_file_that_kills_every_process_fails_alone(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Holding(5)
    urls = urls_of(serve(script).url)
    process = start("-j", str(JOBS), "-i", listed(tmp_path, urls), URLSUM_READ_TIMEOUT="60")
    # The others are not to die three times as well.
    wait_until(lambda: sum("result" in each for each in kept(tmp_path)) == COUNT - 1)
    for death in range(MOST_DEATHS):
        wait_until(lambda: script.asked["/5"] == death + 1)  # noqa: B023 - called before the next one
        for pid in children(process):
            os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, lines_of([url for url in urls if not url.endswith("/5")]))
    assert f"{urls[5]}: internal: the process that read it was killed\n" in err


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_list_resumes(
    start: Start, run: Run, serve: Serve, tmp_path: Path, signum: int, status: int
) -> None:
    script = Holding(5, 40)
    urls = urls_of(serve(script).url)
    arguments = ("-j", str(JOBS), "-i", listed(tmp_path, urls))
    process = start(*arguments, URLSUM_READ_TIMEOUT="60")
    wait_until(lambda: sum("result" in each for each in kept(tmp_path)) == COUNT - 2)
    pids = children(process)
    began = time.monotonic()
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert (process.returncode, out) == (status, lines_of(urls[:5]))
    # The half of each of the two that were being read, down to the block of MD5.
    assert f"interrupted; {COUNT - 2} files and 29.2 KiB saved; run the same command again to resume\n" in err
    assert not any(map(is_running, pids))
    script.healed = True
    before = script.asked.copy()
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (0, lines_of(urls))
    assert set(script.asked - before) == {"/5", "/40"}
    assert done.stderr.count("files that the interrupted run has finished are not read again") == 1
    assert kept(tmp_path) == []


def test_a_killed_command_leaves_no_process_behind(start: Start, serve: Serve, tmp_path: Path) -> None:
    script = Holding(5)
    urls = urls_of(serve(script).url)
    process = start("-j", str(JOBS), "-i", listed(tmp_path, urls), URLSUM_READ_TIMEOUT="60")
    wait_until(lambda: len(script.asked) == COUNT)
    pids = children(process)
    assert pids
    process.kill()
    process.wait(20)
    wait_until(lambda: not any(map(is_running, pids)))


def test_a_dead_host_is_known_to_all_processes(run: Run, serve: Serve, tmp_path: Path) -> None:
    good = serve(File(CONTENT, keep=True)).url()
    dead = [f"http://127.0.0.1:9/{index}" for index in range(COUNT)]
    done = run("-j", "2", "-i", listed(tmp_path, [*dead, good]), URLSUM_RETRY_BASE_SECONDS="0.05")
    assert (done.returncode, done.stdout) == (1, lines_of([good]))
    # One file of each process tries it, before either knows of the other.
    assert done.stderr.count("trying again") <= 2 * 4
    assert done.stderr.count("the host was not tried again for this file") >= COUNT - 2


def test_the_first_failure_ends_all_processes(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT, keep=True))
    bad = serve(answers([head("404 Not Found", "Content-Length: 0")])).url()
    urls = urls_of(origin.url)
    done = run("-j", str(JOBS), "--fail-fast", "-i", listed(tmp_path, [urls[0], bad, *urls[1:]]))
    assert (done.returncode, done.stdout) == (1, lines_of(urls[:1]))
