"""The image by itself: the original's own `docker build` and `docker run` lines, without compose."""

from __future__ import annotations

import json
import logging
import shlex
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripts.sam_local import free_port
from tests.support.origin import range_server
from tests.support.processes.containers import ROOT, build, docker, eventually, inspect, logs, need_engine
from urlsum import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

# On the stand-in of a base image Python itself may lie elsewhere and be larger; what urlsum adds is measured.
MOST_ADDED_MIB = 80
START_SECONDS = 10.0
STOP_SECONDS = 10.0


class Containers:
    """Containers on a network of their own, removed with it."""

    def __init__(self, dotenv: Path) -> None:
        self.name = f"urlsum-test-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.dotenv = dotenv
        docker("network", "create", self.name)

    def run(self, name: str, line: str) -> str:
        """Run a `docker run` line; ``name`` is the container's on the network."""
        line = line.replace("8000:5000", f"127.0.0.1:{self.port}:5000").replace("./.env", str(self.dotenv))
        options = ["--detach", "--name", f"{self.name}-{name}", "--network", self.name, "--network-alias", name]
        return docker("run", *options, *shlex.split(line))

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.base}/check", params={"id": "x"}).status_code == 404
        except httpx.TransportError:
            return False

    def done(self, task_id: str) -> str:
        def status() -> str:
            found: str = httpx.get(f"{self.base}/check", params={"id": task_id}).json()["status"]
            return found

        eventually(lambda: status() in ("done", "failed"), 60, what="the task ends")
        md5: str = httpx.get(f"{self.base}/check", params={"id": task_id}).json().get("md5")
        return md5

    def remove(self) -> None:
        mine = docker("ps", "--all", "--quiet", "--filter", f"network={self.name}").split()
        for container in mine:
            log.info("%s", docker("logs", container, check=False))
        docker("rm", "--force", "--volumes", *mine, check=False)
        docker("network", "rm", self.name, check=False)
        docker("volume", "rm", "--force", self.name, check=False)


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    need_engine()
    build("tc:latest", ROOT)


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    made = Containers(tmp_path / ".env")
    try:
        server = ROOT / "tests" / "support" / "origin" / "range_server.py"
        made.run("origin", f"-v {server}:/range_server.py:ro --init python:3.13-slim python3 /range_server.py 8080")
        address = inspect(f"{made.name}-origin")["NetworkSettings"]["Networks"][made.name]["IPAddress"]
        # As .env.example has it: below the working directory, where the image leads to the volume.
        made.dotenv.write_text(f"ALLOWED_NETWORKS={address}/32\nDATABASE_URI=sqlite:///data/urlsum.db\n")
        yield made
    finally:
        made.remove()


def submit(containers: Containers, size: int) -> str:
    answer = httpx.post(f"{containers.base}/submit", data={"url": f"http://origin:8080/{size}/0/file"})
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["id"]
    return task_id


def test_one_container_is_a_whole_service_and_keeps_its_tasks_in_a_volume(containers: Containers) -> None:
    line = f"-p 8000:5000 --env-file ./.env -v {containers.name}:/data tc:latest"
    server = containers.run("server", line)
    took = eventually(containers.answers, START_SECONDS, what="the server answers", every=0.05)
    log.info("answers after %.1f s", took)
    eventually(lambda: inspect(server)["State"]["Health"]["Status"] == "healthy", 30, what="healthy")
    task_id = submit(containers, 2**20 + 1)
    assert containers.done(task_id) == range_server.md5(2**20 + 1)
    begin = time.monotonic()
    docker("stop", "--time", "30", server)
    log.info("stopped in %.1f s", time.monotonic() - begin)
    assert time.monotonic() - begin < STOP_SECONDS
    assert inspect(server)["State"]["ExitCode"] == 0
    docker("rm", server)
    containers.run("server", line)
    eventually(containers.answers, START_SECONDS, what="the server answers")
    assert containers.done(task_id) == range_server.md5(2**20 + 1)


@pytest.mark.parametrize("entrypoint", ["rq", "venv/bin/rq"])
def test_the_originals_worker_line_works(containers: Containers, entrypoint: str) -> None:
    containers.run("redis-server", "redis:7-alpine")
    with containers.dotenv.open("a") as dotenv:
        dotenv.write("REDIS_URL=redis://redis-server:6379/0\n")
    volume = f"-v {containers.name}:/data"
    containers.run("server", f"{volume} -p 8000:5000 --env-file ./.env tc:latest")
    eventually(containers.answers, START_SECONDS, what="the server answers")
    task_id = submit(containers, 2**20)
    worker = containers.run(
        "worker",
        f"{volume} --env-file ./.env --entrypoint {entrypoint} tc:latest"
        " worker -u redis://redis-server:6379/0 tc-tasks",
    )
    assert containers.done(task_id) == range_server.md5(2**20)
    eventually(lambda: inspect(worker)["State"]["Health"]["Status"] == "healthy", 30, what="the worker is healthy")


def test_a_server_that_dies_at_a_wrong_setting_says_which(containers: Containers) -> None:
    with containers.dotenv.open("a") as dotenv:
        dotenv.write("DATABASE_URI=postgresql://u:hunter2@h/d\n")
    server = containers.run("server", "--env-file ./.env tc:latest")
    eventually(lambda: not inspect(server)["State"]["Running"], 30, what="the server ends")
    assert inspect(server)["State"]["ExitCode"] == 2
    assert "hunter2" not in docker("logs", server)


# What neither a shell nor a URI takes as it is.
SECRET = "p@$$x ${HOME} #1:/?%25"
SHOW = "from urlsum import settings; print(settings.load().mail_password)"


def test_one_dotenv_serves_docker_run_compose_and_make_run(
    containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f"REDIS_URL=redis://redis-server:6379/0\nMAIL_PASSWORD='{SECRET}'\nMYSQL_PASSWORD='{SECRET}'\n"
    with containers.dotenv.open("a") as dotenv:
        dotenv.write(lines)
    options = ["--rm", "--env-file", str(containers.dotenv), "--entrypoint", "python"]
    assert docker("run", *options, "tc:latest", "-c", SHOW) == SECRET

    project = ["--project-directory", str(tmp_path), "-f", str(ROOT / "compose.yaml")]
    shown = json.loads(docker("compose", *project, "config", "--format", "json"))["services"]
    # `config` doubles each $, so that its output can be read again.
    for service, name in (("api", "MAIL_PASSWORD"), ("worker", "DATABASE_PASSWORD"), ("mysql", "MYSQL_PASSWORD")):
        assert shown[service]["environment"][name].replace("$$", "$") == SECRET
    assert shown["api"]["environment"]["REDIS_URL"] == "redis://redis:6379/0"
    assert "@mysql/" in shown["api"]["environment"]["DATABASE_URI"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "DOTENV", containers.dotenv)
    settings.load.cache_clear()
    assert settings.load().mail_password == SECRET
    settings.load.cache_clear()


def test_two_checkouts_on_one_host_share_nothing(tmp_path: Path) -> None:
    shown = []
    for name, lines in (
        ("one", ""),
        ("two", "PUBLISH=127.0.0.1:8001\nURLSUM_IMAGE=two:latest\nPUBLISH_MAIL=127.0.0.1:8026\n"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ".env").write_text(lines)
        project = ["--project-directory", str(folder), "-f", str(ROOT / "compose.yaml"), "--profile", "mail"]
        shown.append(json.loads(docker("compose", *project, "config", "--format", "json")))

    def taken(config: dict[str, Any]) -> set[str]:
        """What exists once on a host: names of the project, its volumes, networks and images, and ports."""
        named = {each["name"] for kind in ("volumes", "networks") for each in config[kind].values()}
        services = config["services"].values()
        images = {service["image"] for service in services if "build" in service and "image" in service}
        ports = {port["published"] for service in services for port in service.get("ports", [])}
        return {config["name"], *named, *images, *ports}

    assert [each["name"] for each in shown] == ["one", "two"]
    assert taken(shown[0]) & taken(shown[1]) == set()
    assert shown[0]["services"]["api"]["image"] == "tc:latest"


def test_a_container_with_too_little_memory_says_so_instead_of_being_killed(containers: Containers) -> None:
    # What a server has loaded before it looks takes 60 MB.
    lines = {"server": (96, "tc:latest"), "worker": (48, "--entrypoint rq tc:latest worker tc-tasks")}
    for name, (megabytes, line) in lines.items():
        memory = f"--memory {megabytes}m --memory-swap {megabytes}m"
        container = containers.run(name, f"{memory} --env-file ./.env {line}")
        eventually(lambda c=container: not inspect(c)["State"]["Running"], 30, what=f"the {name} ends")  # type: ignore[misc]
        assert not inspect(container)["State"]["OOMKilled"]
        assert f"this container may use {megabytes} MiB of memory, and needs 128" in logs(container)


def test_the_server_answers_on_both_address_families(containers: Containers) -> None:
    # 2001:db8::/32 is for documentation (RFC 3849), so no machine's own network is shadowed.
    subnet = f"2001:db8:{uuid.uuid4().hex[:4]}::/64"
    network = f"{containers.name}-six"
    docker("network", "create", "--ipv6", "--subnet", subnet, network)
    try:
        server = containers.run("server", "--env-file ./.env tc:latest")
        for container in (server, f"{containers.name}-origin"):
            docker("network", "connect", network, container)
        joined = inspect(server)["NetworkSettings"]["Networks"]
        hosts = [joined[containers.name]["IPAddress"], f"[{joined[network]['GlobalIPv6Address']}]"]
        eventually(lambda: inspect(server)["State"]["Health"]["Status"] == "healthy", 30, what="healthy")
        fetch = "import sys, urllib.request as r; print(*(r.urlopen(url).status for url in sys.argv[1:]))"
        urls = [f"http://{host}:5000/" for host in hosts]
        assert docker("exec", f"{containers.name}-origin", "python3", "-c", fetch, *urls) == "200 200"
    finally:
        docker("network", "disconnect", "--force", network, f"{containers.name}-server", check=False)
        docker("network", "disconnect", "--force", network, f"{containers.name}-origin", check=False)
        docker("network", "rm", network, check=False)


def test_the_image_is_small_compiled_and_holds_nothing_that_it_should_not() -> None:
    image, base = inspect("tc:latest"), inspect("python:3.13-slim")
    added = (image["Size"] - base["Size"]) / 2**20
    log.info("the image is %.0f MiB, %.0f MiB of it on top of its base", image["Size"] / 2**20, added)
    assert added < MOST_ADDED_MIB
    assert image["Config"]["User"] == "urlsum"
    assert image["Config"]["Entrypoint"][0] == "python"  # exec form: signals reach it
    assert not [line for line in image["Config"]["Env"] if "PASSWORD" in line or "SECRET" in line]
    listed = docker("run", "--rm", "--entrypoint", "find", "tc:latest", "/app", "-not", "-path", "/app/venv/*")
    names = {line.removeprefix("/app").lstrip("/") for line in listed.splitlines()}
    assert {name.split("/")[0] for name in names} == {"", "venv", "functions", "selfhost", "urlsum", "data"}
    assert not [name for name in names if ".env" in name or ".git" in name]
    sources = {name for name in names if name.endswith(".py") and "migrations" not in name}
    compiled = {name.replace("__pycache__/", "").replace(".cpython-313.pyc", ".py") for name in names if ".pyc" in name}
    assert sources <= compiled
    for tool in ("curl", "gcc"):
        with pytest.raises(pytest.fail.Exception):
            docker("run", "--rm", "--entrypoint", tool, "tc:latest", "--version")


# Making a client reads the description of its service; no request is sent.
CLIENTS = """\
import boto3
from urlsum.mail.ses import SesMailer
from urlsum.queues.sqs import SqsQueue
SesMailer("a@example.org")._client
SqsQueue("https://sqs.eu-central-1.amazonaws.com/1/q")._sender
for name in ("dynamodb", "sts", "sso", "sso-oidc", "signin"):  # PynamoDB's, and those of the search for credentials
    boto3.client(name)
"""


def test_the_descriptions_of_the_aws_services_that_are_used_are_in_the_image() -> None:
    options = ["--rm", "--env", "AWS_DEFAULT_REGION=eu-central-1", "--entrypoint", "python"]
    docker("run", *options, "tc:latest", "-c", CLIENTS)
