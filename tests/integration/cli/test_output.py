"""The forms of the output: md5sum's, BSD's, JSON, a file."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import without_summary
from tests.support.origin.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve

    Run = Callable[..., CompletedProcess[str]]

CONTENT = random.Random(8).randbytes(50_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = MD5[::-1]
ETAG = '"v1"'


@pytest.mark.parametrize(
    ("options", "form"),
    [
        (["--tag"], "MD5 ({url}) = {md5}\n"),
        (["--binary"], "{md5} *{url}\n"),
        (["-b"], "{md5} *{url}\n"),
        (["-t"], "{md5}  {url}\n"),
        (["-z"], "{md5}  {url}\0"),
        (["--zero", "--tag"], "MD5 ({url}) = {md5}\0"),
        (["--name", "base"], "{md5}  a b.bam\n"),
        (["--name", "path"], "{md5}  d/a b.bam\n"),
        (["--name", "path", "-z", "-b"], "{md5} *d/a b.bam\0"),
    ],
)
def test_each_form_of_a_line(run: Run, serve: Serve, options: list[str], form: str) -> None:
    url = serve(File(CONTENT)).url("/d/a%20b.bam?v=1")
    done = run(*options, url)
    assert (done.returncode, done.stdout, done.stderr) == (0, form.format(md5=MD5, url=url), "")


def test_md5sum_finds_the_files_by_their_base_names(run: Run, serve: Serve, tmp_path: Path) -> None:
    name = "a\\b\nc.bam"
    (tmp_path / name).write_bytes(CONTENT)
    origin = serve(File(CONTENT))
    done = run("--name", "base", "-o", "MD5SUMS", origin.url("/d/a%5Cb%0Ac.bam"))
    assert (done.returncode, done.stdout) == (0, "")
    theirs = subprocess.run(["md5sum", "-c", "MD5SUMS"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert theirs.returncode == 0, theirs.stderr


def test_a_name_is_escaped_in_every_form(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url("/a%5Cb%0Ac.bam")
    assert run("--tag", "--name", "base", url).stdout == f"\\MD5 (a\\\\b\\nc.bam) = {MD5}\n"
    assert run("-b", "--name", "base", url).stdout == f"\\{MD5} *a\\\\b\\nc.bam\n"
    assert run("-z", "--name", "base", url).stdout == f"{MD5}  a\\b\nc.bam\0"


def test_an_object_a_line(run: Run, serve: Serve) -> None:
    good = serve(File(CONTENT, etag=ETAG)).url("/d/a.bam")
    bad = serve(answers([head("404 Not Found", "Content-Length: 0")])).url()
    done = run("--json", good, bad)
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.splitlines())
    names = "url final_url name content_type etag last_modified md5 size version seconds attempts notes error"
    assert list(first) == names.split()
    assert 0 < first.pop("seconds") < 60
    assert first.pop("version") == {"etag": ETAG, "last_modified": "1994-11-06T08:49:37Z", "proof": "etag"}
    assert first == {
        "url": good,
        "final_url": good,
        "name": "a.bam",
        "content_type": None,
        "etag": ETAG,
        "last_modified": "1994-11-06T08:49:37Z",
        "md5": MD5,
        "size": len(CONTENT),
        "attempts": 1,
        "notes": [],
        "error": None,
    }
    assert (second["url"], second["md5"], second["error"]["code"]) == (bad, None, "http")
    assert without_summary(done.stderr) == ""


def test_an_object_says_whether_the_md5_is_the_expected_one(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    done = run("-c", "--json", stdin=f"{MD5}  {url}\n{OTHER}  {url}\n")
    assert done.returncode == 1
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["expected_md5"], each["match"]) for each in objects] == [(MD5, True), (OTHER, False)]
    (only,) = run("-c", "--json", "--quiet", stdin=f"{MD5}  {url}\n{OTHER}  {url}\n").stdout.splitlines()
    assert json.loads(only)["expected_md5"] == OTHER


def test_an_output_file_that_cannot_be_written_ends_with_2(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run("-o", "nowhere/f", origin.url())
    assert (done.returncode, done.stderr) == (2, "urlsum: nowhere/f: No such file or directory\n")
    assert origin.requests == []


def test_a_full_output_file_is_named(run: Run, serve: Serve) -> None:
    done = run("-o", "/dev/full", serve(File(CONTENT)).url())
    assert (done.returncode, done.stderr) == (1, "urlsum: /dev/full: No space left on device\n")
