"""The containers of compose.yaml, from the built image: what `docker compose up` gives, and what it survives.

The file that is hashed is served by a container of its own network, which ALLOWED_NETWORKS opens.
"""

from __future__ import annotations

import logging
import re
import subprocess
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import range_server
from tests.support.processes.compose_project import EMAIL, UP_SECONDS, Stack, project
from tests.support.processes.containers import COMMAND_SECONDS, docker, eventually, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

MIB = 2**20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with project(tmp_path_factory.mktemp("compose"), before=_two_servers_at_once) as made:
        yield made


def _two_servers_at_once(stack: Stack) -> None:
    """Start two servers on the empty database, as a rolling update or `--scale api=2` behind a proxy does."""
    stack.compose("up", "--detach", "--wait", "mysql", "redis", within=UP_SECONDS)
    servers = [f"{stack.project}-{name}" for name in ("one", "two")]
    starting = [
        subprocess.Popen(["docker", "compose", *stack.options, "run", "--detach", "--name", name, "--no-deps", "api"])
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


def test_the_server_names_what_compose_ignores_of_the_env_file(stack: Stack) -> None:
    banner = stack.compose("logs", "--no-color", "api")
    for name in ("DATABASE_URI", "REDIS_URL"):
        assert f"note:  {name} of .env is not used in compose; COMPOSE_{name} takes its place" in banner
    assert "redis-server" not in banner  # values may hold passwords


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
    waiting_for = range_server.md5(size)
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
    subjects = {"MD5 of hunted", "MD5 of queued"}
    eventually(lambda: subjects <= set(mailed(stack)), 30, what=f"two mails: {stack.mails()}")
    assert all(mailed(stack).count(subject) == 1 for subject in subjects)


def mailed(stack: Stack) -> list[str]:
    """The subjects of all emails, those of earlier tests included, without the MD5."""
    return [mail["subject"].partition(":")[0] for mail in stack.mails()]


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
        # A public address is public, also on this host: another test's network may have one.
        if "." in address and not ip_address(address).is_global
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
    assert {line.split()[0] for line in lines} <= {"Blocked", "AddressRefused"}, "\n".join(lines)
    # The same through the front door: refused at once where that needs no look-up, and by the worker otherwise.
    refused = stack.curl(f"curl -d url=http://{gateways[0]}/ http://localhost:8000/submit")
    assert (refused["status"], refused["field"]) == (422, "url")
    task_id = stack.submit("http://redis:6379/")
    # Retried like a name that does not exist: four waits, of 75 s together at most.
    eventually(lambda: stack.status(task_id) == "failed", 150, what="failed")
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
            assert found["HostConfig"]["Memory"] > 0, service
            assert found["HostConfig"]["PidsLimit"] > 0, service
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
