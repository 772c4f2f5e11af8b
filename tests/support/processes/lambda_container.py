"""A function in a container of Lambda's base image, with the emulator of Lambda's runtime interface.

The SAM CLI brings the emulator. The network of the containers has no way out, and its addresses look public, so that
functions reach an origin on this machine with the very settings that they have on AWS.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripts.sam_build import BuildError, host_architecture, sam
from scripts.sam_local import IMAGE
from tests.support.processes.containers import docker, eventually, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Networks that the guard takes for public. 11.0.0.0/8 belongs to the United States Department of Defense, whose hosts
# urlsum's developers have no business with; and none of these containers can leave its network.
SUBNETS = [f"11.22.{number}" for number in range(256)]
# Another run of the tests may have one, but hardly eight.
TRIES = 8
PORT = 8080
INVOKE = "/2015-03-31/functions/function/invocations"
# A cold start takes a second or two on an idle machine.
START_SECONDS = 60.0
# Only the hosts file: a network without a way out has no name server, and glibc would wait for one.
NAMES = "hosts: files\n"


def need_image() -> str:
    """The base image for this machine's processor; skip if there is none, or no engine."""
    image = f"{IMAGE}-{host_architecture()}"
    path = shutil.which("docker")
    if path is None or subprocess.run([path, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    if subprocess.run([path, "image", "inspect", image], capture_output=True, check=False).returncode:
        pytest.skip(f"the base image is not here; `docker pull {image}` first")
    return image


def emulator() -> Path:
    """The emulator of the SAM CLI; skip if there is none."""
    try:
        packages = Path(sam()).resolve().parents[1] / "lib"
    except BuildError as exc:
        pytest.skip(str(exc))
    found = [*packages.glob(f"python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{host_architecture()}")]
    if not found:
        pytest.skip("the SAM CLI of `make install-dev` is not here, which brings Lambda's emulator")
    return found[0]


@dataclass(frozen=True)
class Network:
    """A network of containers; this machine has the address ``gateway`` in it; ``unused`` is free."""

    name: str
    gateway: str
    unused: str


@contextmanager
def network(prefix: str) -> Iterator[Network]:
    """A network without a way out."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    for subnet in random.sample(SUBNETS, TRIES):
        found = Network(name, f"{subnet}.1", f"{subnet}.62")
        options = ("--internal", "--subnet", f"{subnet}.0/26", "--gateway", found.gateway)
        if docker("network", "create", *options, name, check=False):
            break
    else:
        pytest.fail(f"Docker makes no network; the last one was {subnet}.0/26")
    try:
        yield found
    finally:
        docker("network", "rm", name)


@dataclass(frozen=True)
class Package:
    """What runs: the unpacked folders of a function and of its layer."""

    code: Path
    layer: Path


class LambdaContainer:
    """One execution environment: it serves one event after another, and starts with the first."""

    def __init__(
        self,
        network: Network,
        package: Package,
        variables: Mapping[str, str],
        *,
        megabytes: int,
        hosts: Mapping[str, str],
    ) -> None:
        names = package.code.parent / "nsswitch.conf"
        names.write_text(NAMES)
        mounts = {
            emulator(): "/var/rapid/aws-lambda-rie",
            package.code: "/var/task",
            package.layer: "/opt",
            names: "/etc/nsswitch.conf",
        }
        self.name = f"{network.name}-{uuid.uuid4().hex[:8]}"
        docker(
            *("run", "--detach", "--name", self.name, "--network", network.name, "--memory", f"{megabytes}m"),
            # As on Lambda, where only /tmp can be written.
            *("--read-only", "--tmpfs", "/tmp"),
            *(part for source, path in mounts.items() for part in ("--volume", f"{source}:{path}:ro")),
            *(part for name, value in variables.items() for part in ("--env", f"{name}={value}")),
            # With the root's dot, as urlsum looks names up.
            *(part for host, address in hosts.items() for part in ("--add-host", f"{host}.:{address}")),
            *("--entrypoint", "/var/rapid/aws-lambda-rie", need_image(), "/var/runtime/bootstrap", "app.handler"),
        )
        [attached] = inspect(self.name)["NetworkSettings"]["Networks"].values()
        self._url = f"http://{attached['IPAddress']}:{PORT}{INVOKE}"

    def invoke(self, event: Any, *, seconds: float) -> Any:
        """The response to an event. Fail with the log if the function fails."""
        eventually(self._listens, START_SECONDS, what=f"the emulator in {self.name} listens")
        response = httpx.post(self._url, json=event, timeout=seconds).json()
        if isinstance(response, dict) and "errorMessage" in response:
            pytest.fail(f"{response}\n{self.log()}")
        return response

    def _listens(self) -> bool:
        try:
            # Any response will do; only the path of an invocation would start the function.
            httpx.get(self._url.removesuffix(INVOKE), timeout=1.0)
        except httpx.HTTPError:
            return False
        return True

    def log(self) -> str:
        """What the function has written so far."""
        ended = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return ended.stdout + ended.stderr

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON objects."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def environment(self) -> dict[str, str]:
        """The variables that the container was given."""
        return dict(variable.split("=", 1) for variable in inspect(self.name)["Config"]["Env"])
