"""Private addresses are closed to the command until ``--allow-private``, whatever other projects' settings say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.support.origin.origin_server import File, answers, head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.integration.cli.conftest import Serve

    Run = Callable[..., CompletedProcess[str]]

CONTENT = b"the file"
MD5 = hashlib.md5(CONTENT).hexdigest()
CLOSED = {"URLSUM_ALLOWED_NETWORKS": ""}


def test_a_dot_env_of_another_project_neither_opens_nor_stops_anything(run: Run, serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT))
    (tmp_path / ".env").write_text("ALLOWED_NETWORKS=127.0.0.0/8\nURLSUM_ALLOWED_NETWORKS=127.0.0.0/8\n")
    done = run(origin.url(), **CLOSED)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--allow-private" in done.stderr
    assert origin.requests == []
    (tmp_path / ".env").write_text("MAIL_BACKEND=sendgrid\nMAX_BYTES=lots\n")
    done = run("--allow-private", origin.url(), MAIL_BACKEND="sendgrid", **CLOSED)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{MD5}  {origin.url()}\n", "")


def test_the_flag_opens_addresses_local_names_and_every_port(run: Run, serve: Serve) -> None:
    origin = serve(File(CONTENT))
    for url in (origin.url(), origin.url().replace("127.0.0.1", "localhost")):
        done = run(url, **CLOSED)
        assert done.returncode == 1
        assert "--allow-private" in done.stderr
        assert run("--allow-private", url, **CLOSED).stdout == f"{MD5}  {url}\n"


def test_the_flag_opens_lists_too(run: Run, serve: Serve) -> None:
    url = serve(File(CONTENT)).url()
    assert run("-c", stdin=f"{MD5}  {url}\n", **CLOSED).returncode == 1
    assert run("--allow-private", "-c", stdin=f"{MD5}  {url}\n", **CLOSED).stdout == f"{url}: OK\n"


def test_a_private_server_may_redirect_to_another(run: Run, serve: Serve) -> None:
    file = serve(File(CONTENT)).url()
    first = serve(answers([head("302 Found", f"Location: {file}", "Content-Length: 0")])).url()
    assert run("--allow-private", first, **CLOSED).stdout == f"{MD5}  {first}\n"


def test_the_flag_opens_no_metadata_service(run: Run, serve: Serve) -> None:
    url = serve(answers([head("302 Found", "Location: http://169.254.169.254/", "Content-Length: 0")])).url()
    for each in (url, "http://169.254.169.254/", "http://[fe80::1]/", "http://168.63.129.16/"):
        done = run("--allow-private", each, **CLOSED)
        assert done.returncode == 1
        assert "blocked: " in done.stderr
        assert "no setting allows it" in done.stderr
