"""The functions in Lambda containers, from the built artifacts, against moto: what `make sam-local` runs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripts.sam_build import PYTHON, ROOT, BuildError, host_architecture, sam
from scripts.sam_local import BUILD, IMAGE, START_SECONDS, STOP_SECONDS, free_port
from tests.support.processes.smoke import smoke

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sam, pytest.mark.timeout(START_SECONDS + 300)]

# Several reads of the worker, and less than a second of hashing.
BODY = os.urandom(5 * 2**20 + 1)
# A cold container, one slice and its mail take some seconds on a busy machine.
DONE_SECONDS = 60.0
RECIPIENT = "someone@example.org"


@dataclass(frozen=True)
class Running:
    """A running `make sam-local`; ``host`` is this machine as containers see it."""

    api: str
    aws: str
    host: str


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.path.startswith("/file")
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        body = BODY if found else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture(scope="module", autouse=True)
def _needed() -> None:
    image = f"{IMAGE}-{host_architecture()}"
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers; sam local runs functions in containers")
    if subprocess.run([docker, "image", "inspect", image], capture_output=True, check=False).returncode:
        pytest.skip(f"the base image is not here; `docker pull {image}` first")
    if shutil.which(PYTHON) is None:
        pytest.skip(f"{PYTHON} is not on PATH; sam build needs the Python version of the functions")
    try:
        sam()
    except BuildError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def running(_needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    output = tmp_path_factory.mktemp("sam") / "output.txt"
    ports = free_port(), free_port()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.sam_local", "--port", str(ports[0]), "--moto-port", str(ports[1])],
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        host = _host(process, output)
        yield Running(api=f"http://127.0.0.1:{ports[0]}", aws=f"http://127.0.0.1:{ports[1]}", host=host)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(3 * STOP_SECONDS)
    assert status == 0, output.read_text()
    assert _containers() == []


def _host(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready := re.search(r"reach this machine at ([\d.]+)", output.read_text()):
            return ready[1]
        time.sleep(0.2)
    pytest.fail(output.read_text())


def _containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--no-trunc", "--format", "{{.Mounts}}"], capture_output=True, text=True, check=True
    )
    return [mounts for mounts in listed.stdout.splitlines() if str(BUILD) in mounts]


@pytest.fixture(scope="module")
def origin(running: Running) -> Iterator[str]:
    server = ThreadingHTTPServer((running.host, 0), Origin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{running.host}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def submit(running: Running, body: str) -> httpx.Response:
    """POST as `curl -d` does."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return httpx.post(f"{running.api}/submit", content=body, headers=form, timeout=DONE_SECONDS)


def final(running: Running, task_id: str) -> httpx.Response:
    """Poll /check until the task is final."""
    deadline = time.monotonic() + DONE_SECONDS
    while True:
        answer = httpx.get(f"{running.api}/check?id={task_id}", timeout=DONE_SECONDS)
        if answer.status_code != HTTPStatus.ACCEPTED:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)


def mails(running: Running) -> list[dict[str, Any]]:
    """Every mail that moto's SES has accepted."""
    data = httpx.get(f"{running.aws}/moto-api/data.json", timeout=DONE_SECONDS).json()
    return [mail for mail in data.get("ses", {}).get("Message", []) if mail]


def test_a_submitted_file_ends_as_done_with_its_md5_and_one_mail(running: Running, origin: str) -> None:
    url = f"{origin}/file.bin"
    md5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    answer = final(running, smoke(running.api, url, md5, RECIPIENT, seconds=DONE_SECONDS))
    assert answer.status_code == HTTPStatus.OK, answer.text
    result = answer.json()
    assert (result["status"], result["url"], result["md5"], result["size"]) == ("done", url, md5, len(BODY))
    # The mail follows the result by a moment.
    deadline = time.monotonic() + DONE_SECONDS
    while not (sent := [mail for mail in mails(running) if RECIPIENT in str(mail)]):
        assert time.monotonic() < deadline, "no mail was handed to SES"
        time.sleep(0.5)
    assert len(sent) == 1
    assert md5 in str(sent[0])


def test_a_file_that_is_not_there_ends_as_failed_with_its_reason(running: Running, origin: str) -> None:
    accepted = submit(running, f"url={origin}/nothing")
    answer = final(running, accepted.json()["id"])
    assert answer.status_code == HTTPStatus.FAILED_DEPENDENCY, answer.text
    assert answer.json()["error"]["code"] == "http"


def test_loopback_stays_closed_on_lambda(running: Running) -> None:
    refused = submit(running, "url=http://127.0.0.1:8080/file")
    assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, refused.text
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_an_unknown_id_is_not_found(running: Running) -> None:
    answer = httpx.get(f"{running.api}/check?id=0e4fac17-7b63-4b0c-9f36-2a7cb0c4a2b1", timeout=DONE_SECONDS)
    assert answer.status_code == HTTPStatus.NOT_FOUND, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_browser_gets_the_form_whose_template_the_layer_brings(running: Running) -> None:
    answer = httpx.get(f"{running.api}/", headers={"Accept": "text/html"}, timeout=DONE_SECONDS)
    assert (answer.status_code, answer.headers["content-type"]) == (HTTPStatus.OK, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<form method="post" action="/submit"' in answer.text
