"""``urlsum compare URL FILE``: the same bytes, or where they differ first."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.origin_server import File, answers, head
from urlsum.cli.compare import LEAST_BYTES, SPOT_BYTES, SPOTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve
    from tests.support.origin.origin_server import OriginServer, Request, Steps

    Run = Callable[..., CompletedProcess[str]]

CONTENT = random.Random(11).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_the_same(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    url = serve(File(CONTENT)).url()
    done = run("compare", url, "f")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{url}: the same as f: {MD5}\n", "")
    assert run("compare", "--quiet", url, "f").stdout == ""


@pytest.mark.parametrize("at", [0, 1, 65_535, 1_048_576, 2_999_999])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_first_byte_that_differs_is_named(run: Run, serve: Serve, tmp_path: Path, at: int, chunked: bool) -> None:
    (tmp_path / "f").write_bytes(changed(changed(CONTENT, at), 2_999_999) if at < 2_999_999 else changed(CONTENT, at))
    url = serve(File(CONTENT, chunked=chunked)).url()
    done = run("compare", url, "f")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"{url}: differs: the first difference is at byte {at} (counted from 0)\n"


def test_other_sizes_differ_before_anything_is_read(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT[:-1])
    url = serve(File(CONTENT)).url()
    done = run("compare", url, "f")
    assert (done.returncode, done.stdout) == (1, f"{url}: differs: the URL has 3000000 bytes, and f has 2999999\n")


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (CONTENT[:-1], "f ends after 2999999 bytes, and the URL goes on"),
        (CONTENT + b"x", "the URL ends after 3000000 bytes, and f goes on"),
        (b"", "f ends after 0 bytes, and the URL goes on"),
    ],
)
def test_an_end_is_a_difference_where_no_size_is_known(
    run: Run, serve: Serve, tmp_path: Path, mine: bytes, words: str
) -> None:
    (tmp_path / "f").write_bytes(mine)
    url = serve(File(CONTENT, chunked=True)).url()
    done = run("compare", url, "f")
    assert (done.returncode, done.stdout) == (1, f"{url}: differs: {words}\n")


def test_a_large_file_is_not_read_to_see_that_its_end_differs(run: Run, serve: Serve, tmp_path: Path) -> None:
    content = bytes(LEAST_BYTES + 1000)
    (tmp_path / "f").write_bytes(changed(content, len(content) - 1))
    origin = serve(File(content))
    done = run("compare", origin.url(), "f")
    assert done.returncode == 1
    assert done.stdout.endswith(
        f": differs: one difference, of perhaps more, is at byte {len(content) - 1} (counted from 0)\n"
    )
    assert [each.fields.get("range") for each in origin.requests][1:] == [
        f"bytes={len(content) - SPOT_BYTES}-{len(content) - 1}"
    ]


def test_places_cost_few_requests_and_none_is_a_proof(run: Run, serve: Serve, tmp_path: Path) -> None:
    content = bytes(LEAST_BYTES)
    at = SPOT_BYTES + 5  # between two places
    (tmp_path / "f").write_bytes(changed(content, at))
    origin = serve(File(content, keep=True))
    done = run("compare", "--connections", "1", origin.url(), "f")
    assert done.stdout.endswith(f": differs: the first difference is at byte {at} (counted from 0)\n")
    assert len(origin.requests) <= SPOTS + 3


def test_an_origin_that_breaks_is_asked_again(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(changed(CONTENT, 2_000_000))
    file = File(CONTENT)

    def cut_once(request: Request) -> Steps:
        return [*file(request)[:1], CONTENT[:1_500_000]] if request.connection in (0, 1) else file(request)

    origin = serve(cut_once)
    done = run("compare", origin.url(), "f")
    assert (done.returncode, len(origin.requests) > 2) == (1, True)
    assert done.stdout.endswith(": differs: the first difference is at byte 2000000 (counted from 0)\n")


def test_what_cannot_be_read_ends_with_2(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin: OriginServer = serve(File(CONTENT))
    done = run("compare", origin.url(), "nowhere")
    assert (done.returncode, done.stderr) == (2, "urlsum: nowhere: No such file or directory\n")
    assert origin.requests == []
    (tmp_path / "f").touch()
    gone = serve(answers([head("404 Not Found", "Content-Length: 0")])).url()
    done = run("compare", gone, "f")
    assert (done.returncode, done.stderr.startswith(f"urlsum: {gone}: http: ")) == (2, True)
    for arguments in (["compare"], ["compare", gone], ["compare", gone, "f", "g"], ["compare", "-c", gone, "f"]):
        assert run(*arguments).returncode == 2


def test_the_url_comes_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copy").touch()
    done = run("compare", "copy", "https://example.org/a")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("; the URL comes first: urlsum compare URL FILE\n")
