"""Serve urlsum on this machine out of Lambda containers: `make sam-local`.

Builds for this machine's processor, then runs the API (`sam local start-api`) and the worker (`sam local
start-lambda`) on the built artifacts, with moto for DynamoDB, SQS and SES. Needs a Docker engine.
"""

# Every command that runs here is spelled out in this module; docker is the one on the developer's PATH.
# ruff: noqa: S603, S607

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from scripts import local_aws
from scripts.sam_build import ROOT, BuildError, build, host_architecture, sam
from tests.support.aws import template
from urlsum.queues.sqs import SqsQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

BUILD = ROOT / ".aws-sam" / "local"
# The name by which a container reaches this machine, the same in every Docker.
HOST = "host.docker.internal"
ADD_HOST = f"{HOST}:host-gateway"
IMAGE = "public.ecr.aws/lambda/python:3.13"
# The first start builds an image of base and layer, which can take minutes if the base must be pulled.
START_SECONDS = 600.0
# Time for `sam local` to stop its containers.
STOP_SECONDS = 30.0
PAUSE_SECONDS = 0.2

log = logging.getLogger("sam_local")


class StartError(Exception):
    """A requirement is missing or did not start; the text gives the remedy."""


def host_address(architecture: str) -> str:
    """Return the IPv4 address of this machine as seen by containers. Raises StartError."""
    if shutil.which("docker") is None:
        raise StartError("docker is not on PATH; `sam local` runs functions in containers")
    look_up = f"import socket; print(socket.gethostbyname({HOST!r}))"
    result = subprocess.run(
        [
            *("docker", "run", "--rm", "--add-host", ADD_HOST, "--entrypoint", "/var/lang/bin/python3.13"),
            *(f"{IMAGE}-{architecture}", "-c", look_up),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise StartError(f"cannot run a container: {result.stderr.strip()}")
    return result.stdout.strip()


def write_template(aws: local_aws.LocalAws, host: str, api: str) -> Path:
    """Add the environment of this machine to the built template; return the path of the copy.

    `sam local --env-vars` sets only declared variables, and the template does not declare AWS_ENDPOINT_URL.
    """
    built = yaml_parse((BUILD / "template.yaml").read_text(encoding="utf-8"))
    endpoint = f"http://{HOST}:{aws.port}"
    built["Globals"]["Function"]["Environment"]["Variables"] |= {
        **local_aws.ENVIRONMENT,
        "AWS_ENDPOINT_URL": endpoint,
        "TASKS_TABLE": aws.table,
        # Only the address of this machine, for files served on it.
        "ALLOWED_NETWORKS": f"{host}/32",
    }
    # One queue for both: one bridge serves one message at a time.
    queue = endpoint + aws.queue_path
    own = {"TASKS_QUEUE_URL": queue, "CONTINUATIONS_QUEUE_URL": queue, "PUBLIC_URL": api}
    for resource in built["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            declared = resource["Properties"]["Environment"]["Variables"]
            declared |= {name: value for name, value in own.items() if name in declared}
    path = BUILD / "template.local.json"
    path.write_text(json.dumps(built, indent=1), encoding="utf-8")
    return path


@contextmanager
def sam_local(command: list[str], port: int, path: Path, architecture: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sam local` with ``command`` on ``port`` until the block ends. Raises StartError if it does not start."""
    parameters = {**template.PARAMETERS, "Architecture": architecture}
    # The shell's variables override the template's in `sam local`, so only these are passed on.
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or "DOCKER" in name}
    process = subprocess.Popen(
        [
            *(sam(), "local", *command, "--template", str(path), "--port", str(port)),
            *("--skip-pull-image", "--warm-containers", "EAGER", "--add-host", ADD_HOST),
            *("--parameter-overrides", " ".join(f"{name}={value}" for name, value in parameters.items())),
        ],
        cwd=ROOT,
        env={**environment, **local_aws.ENVIRONMENT, "SAM_CLI_TELEMETRY": "0"},
        # Ctrl-C must reach only this script, which stops the processes in order.
        start_new_session=True,
    )
    try:
        _wait_for(process, port, f"sam local {command[0]}")
        yield process
    finally:
        # Not SIGTERM, on which `sam local` leaves some of its containers behind.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"{name} exited with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(PAUSE_SECONDS)
    raise StartError(f"{name} did not listen on port {port} within {START_SECONDS:.0f} s")


def remove_containers() -> None:
    """Remove containers of this build that `sam local` left behind, as it does if one of them failed."""
    ours = subprocess.run(
        [
            *("docker", "ps", "--all", "--filter", "label=sam.cli.container.type=lambda"),
            *("--format", "{{.ID}} {{.Mounts}}", "--no-trunc"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    left = []
    for line in ours:
        container, _, mounts = line.partition(" ")
        if any(Path(mount).is_relative_to(BUILD) for mount in mounts.split(",")):
            left.append(container)
    if left:
        subprocess.run(["docker", "rm", "--force", *left], stdout=subprocess.DEVNULL, check=True)


def free_port() -> int:
    """Return a TCP port that is currently unused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(port: int, moto_port: int) -> NoReturn:
    """Serve until interrupted. Raises StartError, BuildError and KeyboardInterrupt."""
    stop = threading.Event()
    architecture = host_architecture()
    host = host_address(architecture)
    build(architecture, BUILD)
    api = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        aws = stack.enter_context(local_aws.moto(moto_port))
        path = write_template(aws, host, api)
        lambda_port = free_port()
        stack.callback(remove_containers)
        worker = stack.enter_context(sam_local(["start-lambda", local_aws.WORKER], lambda_port, path, architecture))
        web = stack.enter_context(sam_local(["start-api"], port, path, architecture))
        endpoint = f"http://127.0.0.1:{aws.port}"
        os.environ.update(local_aws.ENVIRONMENT, AWS_ENDPOINT_URL=endpoint)
        bridge = threading.Thread(
            target=local_aws.bridge,
            args=(SqsQueue(endpoint + aws.queue_path), local_aws.invoker(lambda_port), stop),
        )
        bridge.start()
        # Before the containers are removed: that interrupts a running slice like a crash; its message is redelivered.
        stack.callback(stop.set)
        log.info("The API is listening on %s, and moto, which stands in for AWS, on %s", api, endpoint)
        log.info("Containers reach this machine at %s; urlsum may connect to that address on every port. Try:", host)
        log.info("  python3 -m http.server 8080 --bind %s", host)
        log.info('  curl -X POST -d "url=http://%s:8080/README.md&email=you@example.org" %s/submit', host, api)
        while worker.poll() is None and web.poll() is None:
            time.sleep(PAUSE_SECONDS)
        raise StartError("`sam local` stopped; its output says why")


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="sam_local", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=3000, help="port of the API (default: %(default)s)")
    parser.add_argument("--moto-port", type=int, default=0, help="port of the local AWS (default: any free port)")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # moto's line for every request
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        serve(options.port, options.moto_port)
    except KeyboardInterrupt:
        return 0
    except (StartError, BuildError, OSError) as exc:
        log.error("sam_local: %s", exc)  # noqa: TRY400 (the text says it all)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Only once: a second Ctrl-C must not interrupt the cleanup.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
