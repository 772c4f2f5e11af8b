"""The containers of compose.yaml, from the built image: what `docker compose up` gives, and what it survives.

The file that is hashed is served by a container of its own network, which ALLOWED_NETWORKS opens.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.sam_local import free_port
from tests.support.origin import range_server
from tests.support.processes.containers import COMMAND_SECONDS, ROOT, build, docker, eventually, inspect, need_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

MIB = 2**20
# MySQL sets up its data first; two cores may be shared with other suites.
UP_SECONDS = 300.0
EMAIL = "someone@example.org"

# Short times, so that a lease lapses within the patience of a test. Compose reads the file as it reads a user's.
DOTENV = """\
PUBLISH=127.0.0.1:{port}
ALLOWED_NETWORKS={origin}/32
MYSQL_PASSWORD=sesame
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
        return docker("compose", *self._options, *arguments, within=within, check=check)

    @property
    def _options(self) -> list[str]:
        files = ["-f", str(ROOT / "compose.yaml"), "-f", str(self.directory / "override.yaml")]
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
            if len(docker("top", container).splitlines()) > 2:  # a head line and the worker itself
                return container
        pytest.fail("no worker is at work")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    need_engine()
    build("tc:latest", ROOT)
    build("tc-mail:latest", ROOT / "docker" / "mail")
    directory = tmp_path_factory.mktemp("compose")
    number = uuid.uuid4().int
    # 198.18.0.0/15 is for test set-ups (RFC 2544), so no machine's own network is shadowed.
    subnet, origin = (f"198.18.{number % 256}.{number // 256 % 15 * 16 + last}" for last in (0, 10))
    made = Stack(f"urlsum-test-{number % 10**8}", directory, free_port())
    (directory / ".env").write_text(DOTENV.format(port=made.port, origin=origin))
    server = ROOT / "tests" / "support" / "origin" / "range_server.py"
    (directory / "override.yaml").write_text(OVERRIDE.format(server=server, origin=origin, subnet=f"{subnet}/28"))
    try:
        _two_servers_at_once(made)
        made.compose("up", "--detach", "--wait", within=UP_SECONDS)
        yield made
    finally:
        log.info("%s", made.compose("logs", "--no-color", "--timestamps", check=False))
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def _two_servers_at_once(stack: Stack) -> None:
    """Start two servers on the empty database, as a rolling update or `--scale api=2` behind a proxy does."""
    stack.compose("up", "--detach", "--wait", "mysql", "redis", within=UP_SECONDS)
    servers = [f"{stack.project}-{name}" for name in ("one", "two")]
    starting = [
        subprocess.Popen(["docker", "compose", *stack._options, "run", "--detach", "--name", name, "--no-deps", "api"])
        for name in servers
    ]
    assert [process.wait(COMMAND_SECONDS) for process in starting] == [0, 0]
    try:
        for name in servers:
            eventually(
                lambda name=name: "urlsum is listening" in docker("logs", name),  # type: ignore[misc]
                60,
                what=f"{name} listens: {docker('logs', name)}",
            )
            eventually(
                lambda name=name: inspect(name)["State"]["Health"]["Status"] == "healthy",  # type: ignore[misc]
                60,
                what=f"{name} is healthy",
            )
    finally:
        docker("rm", "--force", *servers, check=False)


def test_a_file_is_hashed_and_the_result_is_mailed(stack: Stack) -> None:
    task_id = stack.submit(f"http://origin:8080/{5 * MIB + 1}/0/file")
    assert re.fullmatch(r"[0-9a-f-]{36}", task_id)
    eventually(lambda: stack.status(task_id) == "done", 60, what=f"done: {stack.check(task_id)}")
    found = stack.check(task_id)
    assert found["md5"] == range_server.md5(5 * MIB + 1)
    eventually(lambda: bool(stack.mails()), 30, what="a mail is caught")
    [mail] = stack.mails()
    assert mail["recipients"]["to"] == [EMAIL]
    assert range_server.md5(5 * MIB + 1) in stack.mail_text(mail["id"])


def test_a_worker_that_is_stopped_hands_over_within_ten_seconds(stack: Stack) -> None:
    size = 24 * MIB
    task_id = stack.submit(f"http://origin:8080/{size}/{2 * MIB}/handed")
    eventually(lambda: stack.hashed(task_id) > 2 * MIB, 60, what="the task is under way")
    before, worker, at = len(stack.starts()), stack.busy_worker(), stack.hashed(task_id)
    begin = time.monotonic()
    docker("stop", "--time", "30", worker)
    stopped = time.monotonic() - begin
    status = inspect(worker)["State"]["ExitCode"]
    docker("start", worker)
    assert (stopped < 10, status) == (True, 0)
    took = eventually(lambda: len(stack.starts()) > before, 30, what="another worker goes on")
    log.info("stopped in %.1f s, taken over %.1f s later", stopped, took)
    eventually(lambda: stack.status(task_id) == "done", 60, what="done")
    assert stack.check(task_id)["md5"] == range_server.md5(size)
    assert min(stack.starts()[before:]) >= at - MIB  # goes on from the offset; the proof of version may read a tail


def test_a_task_survives_a_killed_worker_a_restarted_mysql_and_an_emptied_redis(stack: Stack) -> None:
    size = 60 * MIB
    waiting_for, before = range_server.md5(size), len(stack.mails())
    begin = time.monotonic()
    task_id = stack.submit(f"http://origin:8080/{size}/{2 * MIB}/hunted")

    eventually(lambda: stack.hashed(task_id) > 2 * MIB, 60, what="the task is under way")
    worker, starts = stack.busy_worker(), len(stack.starts())
    docker("kill", "--signal", "KILL", worker)
    took = eventually(lambda: len(stack.starts()) > starts, 60, what="another worker goes on")
    log.info("killed a worker; taken over %.1f s later", took)
    docker("start", worker)

    at = stack.hashed(task_id)
    eventually(lambda: stack.hashed(task_id) > at, 60, what="it gets further")
    stack.compose("restart", "--timeout", "30", "mysql", within=UP_SECONDS)
    eventually(lambda: isinstance(stack.status(task_id), str), 60, what="the server finds its database again")
    log.info("MySQL restarted by %.1f s", time.monotonic() - begin)

    queued = stack.submit(f"http://origin:8080/{MIB}/0/queued")
    stack.compose("exec", "-T", "redis", "redis-cli", "FLUSHALL")
    stack.compose("restart", "redis")
    log.info("Redis emptied and restarted by %.1f s", time.monotonic() - begin)
    eventually(lambda: stack.status(task_id) == "done", 240, what=f"done: {stack.check(task_id)}")
    log.info("done at %.1f s", time.monotonic() - begin)
    assert stack.check(task_id)["md5"] == waiting_for
    eventually(lambda: stack.status(queued) == "done", 120, what=f"done: {stack.check(queued)}")
    assert stack.check(queued)["md5"] == range_server.md5(MIB)
    eventually(lambda: len(stack.mails()) == before + 2, 30, what=f"two mails: {stack.mails()}")


# Run in a worker: tries each URL with the guard as it is by default, and then as this stack has it.
TRY = """\
import sys
from msgspec import structs
from urlsum import settings
from urlsum.deadline import Deadline
from urlsum.errors import UrlsumError
from urlsum.origin.guard.guard import Guard
for networks in ((), settings.load().allowed_networks):
    guard = Guard(structs.replace(settings.load(), allowed_networks=networks))
    for url in sys.argv[1:]:
        try:
            guard.connect(guard.inspect(url), deadline=Deadline.after(5)).close()
            print("open", url)
        except UrlsumError as exc:
            print(type(exc).__name__, url, exc)
"""


def test_the_stack_itself_is_never_fetched_from(stack: Stack) -> None:
    names = ["redis:6379", "mysql:3306", "api:5000", "api:8080", "mail:1080", f"{stack.project}-redis-1:6379"]
    gateways = [
        f"{config['Gateway']}:{port}"
        for network in docker("network", "ls", "--quiet", "--filter", f"name={stack.project}").split()
        for config in inspect(network)["IPAM"]["Config"]
        if "Gateway" in config
        for port in (80, stack.port)
    ]
    host = [
        f"{address}:8080"
        for address in subprocess.check_output(["hostname", "-I"], text=True).split()
        if "." in address
    ]
    own = [
        f"{network['IPAddress']}:8080"
        for service in ("api", "mysql", "redis")
        for container in stack.containers(service)
        for network in inspect(container)["NetworkSettings"]["Networks"].values()
    ]
    urls = [f"http://{place}/" for place in [*names, *gateways, *host, *own, "127.0.0.1:5000", "169.254.169.254"]]
    lines = stack.compose("exec", "-T", "worker", "python", "-c", TRY, *urls).splitlines()
    assert len(lines) == 2 * len(urls)
    assert {line.split()[0] for line in lines} == {"Blocked"}, "\n".join(lines)
    # The same through the front door: refused at once where that needs no look-up, and by the worker otherwise.
    refused = stack.curl(f"curl -d url=http://{gateways[0]}/ http://localhost:8000/submit")
    assert (refused["status"], refused["field"]) == (422, "url")
    task_id = stack.submit("http://redis:6379/")
    eventually(lambda: stack.status(task_id) == "failed", 60, what="failed")
    assert stack.check(task_id)["error"]["code"] == "connect"  # strangers are not told what is there
    assert f"task {task_id}: blocked" in stack.compose("logs", "--no-color", "worker")


def test_containers_are_closed_as_far_as_they_can_be(stack: Stack) -> None:
    published = {}
    for service in ("api", "worker", "mysql", "redis", "mail"):
        for container in stack.containers(service):
            found = inspect(container)
            ports = {port: bound for port, bound in found["NetworkSettings"]["Ports"].items() if bound}
            published.update({service: list(ports)} if ports else {})
            assert found["HostConfig"]["CapDrop"] == ["ALL"], service
            assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"], service
            assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", service
            assert found["HostConfig"]["ReadonlyRootfs"] or service == "mysql", service
            if service in ("api", "worker"):
                eventually(
                    lambda container=container: inspect(container)["State"]["Health"]["Status"] == "healthy",  # type: ignore[misc]
                    60,
                    what=f"{service} is healthy",
                )
                assert docker("exec", container, "id", "-u") == "10001"
                assert docker("exec", container, "sh", "-c", "touch /app/x /x 2>&1 | grep -c Read-only") == "2"
                docker("exec", container, "touch", "/data/x", "/tmp/x")
    assert published == {"api": ["5000/tcp"]}


LEVEL = """\
from urlsum import settings
from urlsum.tables.engine import create_engine
with create_engine(settings.load().database_uri).connect() as connection:
    print(connection.exec_driver_sql("SELECT @@transaction_isolation").scalar())
"""


def test_mysql_takes_the_longest_url_under_read_committed(stack: Stack) -> None:
    longest = "http://origin:8080/" + "a" * (8000 - 19)
    task_id = stack.submit(longest)
    eventually(lambda: stack.status(task_id) == "failed", 60, what="failed")
    assert stack.check(task_id)["url"] == longest
    assert stack.compose("exec", "-T", "api", "python", "-c", LEVEL) == "READ-COMMITTED"
