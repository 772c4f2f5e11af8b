"""Several files at once, and hosts that cannot be reached."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import without_summary
from tests.support.origin.origin_server import File, Pause, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import Request, Steps

    Run = Callable[..., CompletedProcess[str]]

CONTENT = random.Random(9).randbytes(40_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Together:
    """Lets no response begin before ``count`` files are requested."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=20)
        self.first: set[str] = set()

    def __call__(self, request: Request) -> Steps:
        if request.path not in self.first:
            self.first.add(request.path)
            self.barrier.wait()
            time.sleep(0.02 * int(request.path.strip("/")))  # the last file ends last
        return File(CONTENT)(request)


def test_files_are_read_at_once_and_printed_in_order(run: Run, serve: Serve) -> None:
    origin = serve(Together(4))
    urls = [origin.url(f"/{index}") for index in (3, 2, 1, 0)]
    done = run("-j", "4", *urls)
    assert (done.returncode, done.stdout) == (0, "".join(f"{MD5}  {url}\n" for url in urls))


def test_files_of_one_origin_share_its_connections(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT, keep=True))
    done = run("-j", "16", "--connections", "2", *(origin.url(f"/{index}") for index in range(30)))
    assert done.returncode == 0
    assert done.stdout.count(MD5) == 30
    assert origin.connections <= 2


def test_the_first_failure_can_end_the_run(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    bad, slow = serve(answers([head("404 Not Found", "Content-Length: 0")])), serve(answers([Pause(60)]))
    began = time.monotonic()
    done = run("-j", "3", "--fail-fast", origin.url(), bad.url(), slow.url(), URLSUM_READ_TIMEOUT="60")
    assert time.monotonic() - began < 20
    assert (done.returncode, done.stdout) == (1, f"{MD5}  {origin.url()}\n")


def test_a_mismatch_is_a_failure(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    done = run("-c", "--fail-fast", stdin=f"{MD5[::-1]}  {url}\n{MD5}  {url}\n")
    assert (done.returncode, done.stdout) == (1, f"{url}: FAILED\n")


def test_a_host_found_dead_is_not_waited_for_again(run: Run, serve: Serve) -> None:
    good = serve(File(CONTENT)).url()
    dead = [f"http://127.0.0.1:9/{index}" for index in range(50)]
    began = time.monotonic()
    done = run(*dead, good, URLSUM_RETRY_BASE_SECONDS="0.2")
    assert time.monotonic() - began < 15  # one file takes 3 s at most; fifty would take two minutes
    assert (done.returncode, done.stdout) == (1, f"{MD5}  {good}\n")
    assert done.stderr.count("trying again") == 4
    assert done.stderr.count("the host was not tried again for this file") == 49


def test_retries_are_counted(run: Run) -> None:
    done = run("--retries", "0", "http://127.0.0.1:9/")
    assert (done.returncode, done.stderr.count("trying again")) == (1, 0)
    done = run("--retries", "2", "http://127.0.0.1:9/")
    assert (done.returncode, done.stderr.count("trying again")) == (1, 2)


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_the_counts_end_the_run(run: Run, serve: Serve, jobs: str) -> None:
    good = serve(File(CONTENT))
    bad = serve(answers([head("404 Not Found", "Content-Length: 0")])).url()
    done = run("-j", jobs, good.url("/1"), bad, good.url("/2"))
    assert without_summary(done.stderr).count("\n") == 1
    assert done.stderr.splitlines()[-1].startswith("urlsum: 3 files, 78.1 KiB in ")
    assert done.stderr.endswith(" s: 2 OK, 1 FAILED\n")
