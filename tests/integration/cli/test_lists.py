"""Lists as publishers write them: from the web, with names instead of URLs, as tables."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import without_summary
from tests.support.origin.origin_server import File, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import OriginServer, Request, Steps

    Run = Callable[..., CompletedProcess[str]]

CONTENT = random.Random(7).randbytes(100_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = MD5[::-1]


@pytest.fixture
def site(serve: Serve) -> OriginServer:
    """A publisher's folder: /d/a.gz and /d/b%20c.gz, and the list of them."""
    files = {
        "/d/a.gz": CONTENT,
        "/d/b%20c.gz": CONTENT,
        "/id/a.gz": CONTENT,
        "/d/MD5SUMS": f"{MD5}  ./a.gz\n{MD5} *b c.gz\n{OTHER}  a.gz\n{MD5}  gone.gz\n".encode(),
        "/urls": b"# files\n/d/a.gz\n",
    }

    def script(request: Request) -> Steps:
        content = files.get(request.path)
        return [head("404 Not Found", "Content-Length: 0")] if content is None else File(content)(request)

    return serve(script)


def test_a_list_of_the_web_names_files_beside_it(run: Run, site: OriginServer) -> None:
    name, a = site.url("/d/MD5SUMS"), site.url("/d/a.gz")
    done = run("-c", name)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{a}: OK",
        f"{site.url('/d/b%20c.gz')}: OK",
        f"{a}: FAILED",
        f"{site.url('/d/gone.gz')}: FAILED open or read",
    ]
    assert f"urlsum: {a}: the MD5 is {MD5}, not {OTHER}\n" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(": 2 OK, 2 FAILED")


def test_a_list_that_the_web_does_not_have(run: Run, site: OriginServer) -> None:
    done = run("-c", site.url("/nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"urlsum: {site.url('/nowhere')}: http: the server answered with status 404; ")


def test_names_in_a_local_list_lie_below_the_base(run: Run, site: OriginServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"{MD5}  a.gz\n{MD5}  {site.url('/d/b%20c.gz')}\n")
    done = run("-c", "f", "--base", site.url("/d"))
    assert done.stdout.splitlines() == [f"{site.url('/d/a.gz')}: OK", f"{site.url('/d/b%20c.gz')}: OK"]
    assert (done.returncode, without_summary(done.stderr)) == (0, "")


@pytest.mark.parametrize("end", ["?sig=1", "#d"])
def test_a_base_with_a_query_is_refused(run: Run, site: OriginServer, end: str) -> None:
    done = run("-c", "-", "--base", site.url(f"/d/{end}"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("argument --base: the URL of a folder has no query and no fragment\n")
    assert site.requests == []


def test_a_manifest_of_the_gdc_against_a_mirror(run: Run, site: OriginServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"id\tfilename\tmd5\tsize\tstate\nid\ta.gz\t{MD5}\t{len(CONTENT)}\treleased\n")
    done = run("-c", "f", "--base", site.url("/"))
    assert (done.returncode, done.stdout) == (0, f"{site.url('/id/a.gz')}: OK\n")


def test_missing_files_can_be_ignored_unless_all_are(run: Run, site: OriginServer) -> None:
    listed = f"{MD5}  {site.url('/d/gone.gz')}\n{MD5}  {site.url('/d/a.gz')}\n"
    done = run("-c", "--ignore-missing", stdin=listed)
    assert (done.returncode, done.stdout) == (0, f"{site.url('/d/a.gz')}: OK\n")
    assert done.stderr.endswith(": 1 OK, 1 missing\n")
    done = run("-c", "--ignore-missing", stdin=listed.splitlines()[0])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "urlsum: standard input: no file was verified\n"


def test_an_unreachable_host_is_no_missing_file(run: Run) -> None:
    done = run("-c", "--ignore-missing", "--retries", "0", stdin=f"{MD5}  http://127.0.0.1:9/a\n")
    assert (done.returncode, done.stdout) == (1, "http://127.0.0.1:9/a: FAILED open or read\n")


def test_urls_come_from_files_and_standard_input(run: Run, site: OriginServer, tmp_path: Path) -> None:
    a, b = site.url("/d/a.gz"), site.url("/d/b%20c.gz")
    (tmp_path / "f").write_text(f"# files\n\n  {b}\r\n")
    done = run("-i", "f", "-i", "-", a, stdin=f"{a}\n")
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {a}\n{MD5}  {b}\n{MD5}  {a}\n")


def test_a_list_of_urls_that_cannot_be_read_ends_with_2(run: Run, site: OriginServer) -> None:
    done = run("-i", "nowhere", site.url("/d/a.gz"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "urlsum: nowhere: No such file or directory\n"
    assert site.requests == []
