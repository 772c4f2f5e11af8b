"""The containers of compose.yaml as a project of their own, and what a user does with it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.sam_local import free_port
from tests.support.processes.containers import COMMAND_SECONDS, ROOT, build, docker, need_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

# MySQL sets up its data first; two cores may be shared with other suites.
UP_SECONDS = 300.0
EMAIL = "someone@example.org"
# As compose.yaml has it, so that two checkouts can be tested on one machine.
IMAGE = os.environ.get("URLSUM_IMAGE", "tc:latest")

# Short times, so that a lease lapses within the patience of a test. Compose reads the file as it reads a user's: with
# lines for `make run` and `docker run`, and a password of MySQL that neither a shell nor a URI takes as it is.
DOTENV = """\
PUBLISH=127.0.0.1:{port}
ALLOWED_NETWORKS={origin}/32
MYSQL_PASSWORD='p@$x ${{HOME}}:/?#%25'
DATABASE_URI=sqlite:///data/urlsum.db
REDIS_URL=redis://redis-server:6379/0
MAIL_BACKEND=smtp
MAIL_SERVER=mail
MAIL_PORT=1025
MAIL_USE_TLS=false
CHECKPOINT_SECONDS=0.5
CONNECT_TIMEOUT=2
READ_TIMEOUT=4
LEASE_SECONDS=8
SWEEP_SECONDS=2
"""

# Beside the project's own file: an origin, which only the workers share a network with, and no fixed port for the mail.
OVERRIDE = """\
services:
  worker:
    networks: [outside, inside, origin]
  mail:
    # Built beforehand: the folder of the project is another one here.
    image: tc-mail:latest
    ports: !reset []
  origin:
    image: python:3.13-slim
    command: [python3, /range_server.py, "8080"]
    init: true
    volumes: ["{server}:/range_server.py:ro"]
    networks:
      origin: {{ipv4_address: {origin}}}
networks:
  origin:
    ipam: {{config: [{{subnet: {subnet}}}]}}
"""


@dataclass
class Stack:
    """A project of its own name, and what a user does with it."""

    project: str
    directory: Path
    port: int

    def compose(self, *arguments: str, within: float = COMMAND_SECONDS, check: bool = True) -> str:
        return docker("compose", *self.options, *arguments, within=within, check=check)

    @property
    def options(self) -> list[str]:
        paths = [ROOT / "compose.yaml", self.directory / "override.yaml", self.directory / "more.yaml"]
        files = [word for path in paths for word in ("-f", str(path))]
        return ["-p", self.project, "--project-directory", str(self.directory), *files, "--profile", "mail"]

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def curl(self, line: str) -> Any:
        """Run the original's own curl, as the README shows it, against the published port."""
        command = shlex.split(line.replace("localhost:8000", f"127.0.0.1:{self.port}"))
        ended = subprocess.run([*command, "--silent", "--show-error"], capture_output=True, text=True, check=True)
        return json.loads(ended.stdout)

    def submit(self, url: str, email: str = EMAIL) -> str:
        answer = self.curl(f"curl -X POST -d 'email={email}&url={url}' http://localhost:8000/submit")
        task_id: str = answer["id"]
        return task_id

    def check(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.curl(f"curl -X GET 'http://localhost:8000/check?id={task_id}'")
        return found

    def status(self, task_id: str) -> str | int:
        return self.check(task_id)["status"]  # type: ignore[no-any-return]

    def hashed(self, task_id: str) -> int:
        return self.check(task_id).get("progress", {}).get("bytes") or 0

    def mails(self) -> list[dict[str, Any]]:
        read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:1080/messages/').read().decode())"
        found: list[dict[str, Any]] = json.loads(self.compose("exec", "-T", "mail", "python3", "-c", read))["messages"]
        return found

    def mail_text(self, number: int) -> str:
        read = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:1080/messages/{number}.plain').read().decode())"
        return self.compose("exec", "-T", "mail", "python3", "-c", read)

    def starts(self) -> list[int]:
        read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/starts').read().decode())"
        found: list[int] = json.loads(self.compose("exec", "-T", "origin", "python3", "-c", read))
        return found

    def busy_worker(self) -> str:
        """The container whose worker has forked a process for a job."""
        for container in self.containers("worker"):
            # A head line, the worker itself, and now and then its health check.
            lines = [line for line in docker("top", container).splitlines() if "selfhost.health" not in line]
            if len(lines) > 2:
                return container
        pytest.fail("no worker is at work")


@contextmanager
def project(
    directory: Path, *, settings: str = "", override: str = "", before: Callable[[Stack], None] = lambda _: None
) -> Iterator[Stack]:
    """A project with lines of its own in .env and in a further compose file, up and healthy; removed at the end."""
    need_engine()
    build(IMAGE, ROOT)
    build("tc-mail:latest", ROOT / "docker" / "mail")
    number = uuid.uuid4().int
    # 198.18.0.0/15 is for test set-ups (RFC 2544), so no machine's own network is shadowed.
    subnet, origin = (f"198.18.{number % 256}.{number // 256 % 15 * 16 + last}" for last in (0, 10))
    made = Stack(f"urlsum-test-{number % 10**8}", directory, free_port())
    (directory / ".env").write_text(DOTENV.format(port=made.port, origin=origin) + settings)
    server = ROOT / "tests" / "support" / "origin" / "range_server.py"
    (directory / "override.yaml").write_text(OVERRIDE.format(server=server, origin=origin, subnet=f"{subnet}/28"))
    (directory / "more.yaml").write_text(override or "services: {}\n")
    try:
        before(made)
        made.compose("up", "--detach", "--wait", within=UP_SECONDS)
        yield made
    finally:
        log.info("%s", made.compose("logs", "--no-color", "--timestamps", check=False))
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
