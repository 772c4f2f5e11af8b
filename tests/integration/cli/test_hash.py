"""``urlsum URL…``: lines, messages and exit statuses."""

from __future__ import annotations

import hashlib
import random
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.integration.cli.conftest import COMMAND, ENVIRONMENT
from tests.support.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.cli.conftest import Serve
    from tests.support.origin_server import Request, Steps

    Run = Callable[..., subprocess.CompletedProcess[str]]

CONTENT = random.Random(3).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
NOT_FOUND = head("404 Not Found", "Content-Length: 0")


def test_a_line_as_md5sum_writes_it_and_nothing_else(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    url = serve(File(CONTENT)).url()
    theirs = subprocess.run(["md5sum", "file"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    done = run(url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == theirs.replace("file", url)


def test_several_urls_one_after_the_other_and_1_if_any_failed(run: Run, serve: Serve) -> None:
    good, bad, empty = serve(File(CONTENT)).url(), serve(answers([NOT_FOUND])).url(), serve(File(b"")).url()
    done = run(good, bad, empty)
    assert done.returncode == 1
    assert done.stdout == f"{MD5}  {good}\nd41d8cd98f00b204e9800998ecf8427e  {empty}\n"
    assert done.stderr == (
        f"urlsum: {bad}: http: the origin answered with status 404; check that the URL opens in a browser"
        " without signing in; if it does, try again later\n"
        f"urlsum: {empty}: note: The server sent an empty file (0 bytes). Is this the file you meant?\n"
    )


def test_what_is_no_url_ends_with_2_before_anything_is_read(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(origin.url(), "example.org/file")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "urlsum: example.org/file: the URL must be absolute and begin with http:// or https://\n"
    assert origin.requests == []


def test_usage_and_settings_errors_end_with_2_in_words(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    assert run().returncode == 2
    assert run("--nonsense", url).returncode == 2
    done = run(url, READ_TIMEOUT="soon")
    assert done.returncode == 2
    assert done.stderr.startswith("urlsum: READ_TIMEOUT: ")
    assert done.stderr.count("\n") == 1


def test_the_guard_holds_here_too(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    done = run(origin.url(), ALLOWED_NETWORKS="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"urlsum: {origin.url()}: blocked: 127.0.0.1 is loopback")
    assert "ALLOWED_NETWORKS" in done.stderr
    assert origin.requests == []


def test_a_redirect_is_judged_too(run: Run, serve: Serve) -> None:
    url = serve(answers([head("302 Found", "Location: http://169.254.169.254/", "Content-Length: 0")])).url()
    done = run(url)
    assert done.returncode == 1
    assert "blocked: http://169.254.169.254/" in done.stderr


def test_a_private_authority_is_named_by_ssl_cert_file(run: Run, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    url = serve(File(CONTENT), tls=context).url()
    assert run(url, SSL_CERT_FILE=str(tmp_path / "ca.pem")).stdout == f"{MD5}  {url}\n"
    done = run(url)
    assert done.returncode == 1
    assert f"urlsum: {url}: tls: " in done.stderr
    assert "SSL_CERT_FILE" in done.stderr


def test_a_connection_that_breaks_is_taken_up_where_it_broke(run: Run, serve: Serve) -> None:
    file = File(CONTENT)

    def cut_once(request: Request) -> Steps:
        if request.connection == 0:
            return [*file(request)[:1], CONTENT[:1_000_000]]
        return file(request)

    origin = serve(cut_once)
    done = run(origin.url())
    assert (done.returncode, done.stdout) == (0, f"{MD5}  {origin.url()}\n")
    assert f"urlsum: {origin.url()}: incomplete: " in done.stderr
    assert "trying again" in done.stderr
    assert all(request.fields["range"] >= "bytes=93" for request in origin.requests[1:])


def test_output_that_cannot_be_written_is_an_error(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [COMMAND, url], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "urlsum: standard output: No space left on device\n")


def test_a_reader_that_goes_away_ends_it_quietly(serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    process = subprocess.Popen(
        [COMMAND, url, url], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(20) == 141


@pytest.mark.parametrize("connections", ["1", "3"])
def test_never_more_connections_than_asked_for(run: Run, serve: Serve, connections: str) -> None:
    origin = serve(File(CONTENT))
    assert run("--connections", connections, origin.url()).returncode == 0
    assert origin.connections <= int(connections)
