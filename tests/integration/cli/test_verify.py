"""``urlsum -c``: what ``urlsum`` wrote, or a person, is verified as ``md5sum -c`` does it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.support.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve

    Run = Callable[..., CompletedProcess[str]]

CONTENT = bytes(100_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = MD5[::-1]


@pytest.fixture
def url(serve: Serve) -> str:
    return serve(File(CONTENT)).url()


@pytest.fixture
def missing(serve: Serve) -> str:
    return serve(answers([head("404 Not Found", "Content-Length: 0")])).url()


def test_what_urlsum_printed_is_verified(run: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(run(url, url).stdout)
    done = run("-c", "f")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{url}: OK\n" * 2, "")


def test_every_verdict_and_count(run: Run, url: str, missing: str, tmp_path: Path) -> None:
    lines = [f"{MD5}  {url}", f"{OTHER} *{url}", f"{MD5}  {missing}", f"{MD5}  a.bam", "", "# comment", "<html>"]
    (tmp_path / "f").write_text("\n".join(lines))
    done = run("-c", "f")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{url}: OK",
        f"{url}: FAILED",
        f"{missing}: FAILED open or read",
        "a.bam: FAILED open or read",
    ]
    first, second, *warnings = done.stderr.splitlines()
    assert first.startswith(f"urlsum: {missing}: http: ")
    assert second == "urlsum: a.bam: invalid_url: the URL must be absolute and begin with http:// or https://"
    assert warnings == [
        "urlsum: WARNING: 1 line is improperly formatted",
        "urlsum: WARNING: 2 listed URLs could not be read",
        "urlsum: WARNING: 1 computed checksum did NOT match",
    ]


@pytest.mark.parametrize("arguments", [["-c"], ["-c", "-"]])
def test_a_list_from_standard_input(run: Run, url: str, arguments: list[str]) -> None:
    done = run(*arguments, stdin=f"{MD5.upper()}  {url}\r\n")
    assert (done.returncode, done.stdout) == (0, f"{url}: OK\n")


def test_malformed_lines_count_only_when_strict(run: Run, url: str) -> None:
    listed = f"{MD5}  {url}\nnonsense\n"
    done = run("-c", stdin=listed)
    assert (done.returncode, done.stderr) == (0, "urlsum: WARNING: 1 line is improperly formatted\n")
    assert run("-c", "--strict", stdin=listed).returncode == 1


def test_quiet_and_status(run: Run, url: str) -> None:
    listed = f"{MD5}  {url}\n{OTHER}  {url}\n"
    done = run("-c", "--quiet", stdin=listed)
    assert (done.returncode, done.stdout) == (1, f"{url}: FAILED\n")
    done = run("-c", "--status", stdin=listed)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert run("-c", "--status", stdin=listed.splitlines()[0]).returncode == 0


def test_a_list_that_is_none_or_is_not_there_fails_and_the_next_is_still_checked(
    run: Run, url: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text(f"{MD5}  {url}\n")
    (tmp_path / "empty").touch()
    done = run("-c", "nowhere", "empty", "f")
    assert (done.returncode, done.stdout) == (1, f"{url}: OK\n")
    assert done.stderr.splitlines() == [
        "urlsum: nowhere: No such file or directory",
        "urlsum: empty: no properly formatted checksum lines found",
    ]


def test_a_list_of_strangers_cannot_move_the_cursor(run: Run) -> None:
    done = run(
        "-c", stdin=f"{MD5}  http://a.example/\x1b[2J\udcff\n".encode(errors="surrogateescape").decode("latin-1")
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
