"""Measure the cold start of each built function: `make sam-build && python -m bench.cold_start`.

A process of the functions' Python imports one function out of its built folder and the built layer, and handles its
first event, against moto behind TLS. Figures are CPU milliseconds of that process: they repeat within a few percent on
a busy machine, wall time does not. The start of Python is part of the init phase, as in what Lambda reports.

The reference is a bare FastAPI application behind Mangum in the same layer, which answers the same submission.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from scripts import local_aws, trim_layer
from scripts.sam_build import PYTHON, ROOT
from tests.support.aws.deployment import deploy
from urlsum.queues import encode
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.task import Status, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUILD = ROOT / ".aws-sam" / "build"
ROUNDS = 9
BARE = "bare"
FUNCTIONS = (BARE, "SubmitFunction", "CheckFunction", "HashWorkerFunction", "SweeperFunction")
# What each function may cost: both phases together relative to the bare application, and CPU-ms of the first event. A
# function of 1 GiB has 0.6 of a core while it answers, so 65 CPU-ms are a tenth of a second of somebody's patience.
BARS: Mapping[str, tuple[float | None, float]] = {
    "SubmitFunction": (1.30, 65.0),
    "CheckFunction": (1.28, 50.0),
    "HashWorkerFunction": (0.85, 25.0),
    "SweeperFunction": (None, 25.0),
}
BARE_SOURCE = """
from fastapi import FastAPI, Request
from mangum import Mangum

app = FastAPI()

@app.post("/submit", status_code=202)
async def submit(request: Request) -> dict[str, str]:
    return {"url": (await request.json())["url"]}

handler = Mangum(app, lifespan="off")
"""
# What Lambda's runtime does: import the module, then call its handler.
STARTER = """
import json, sys, time

class Context:
    function_name = "function"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self):
        return 300_000

event = json.load(sys.stdin)
import app
ready = time.process_time()
response = app.handler(event, Context())
done = time.process_time()
print(json.dumps({"init": ready * 1000, "event": (done - ready) * 1000, "response": response}))
"""
BODY = os.urandom(1024)


@dataclass(frozen=True)
class Sample:
    """One cold start: CPU milliseconds of the import and of the first event, and the response."""

    init: float
    event: float
    response: Any


class Origin(BaseHTTPRequestHandler):
    """Serves a file of 1 KiB under every path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the file."""
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def own_address() -> str:
    """An address of this machine that is not loopback, which no function may contact on Lambda."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        address: str = probe.getsockname()[0]
        return address


@contextmanager
def origin(address: str) -> Iterator[int]:
    """Run the origin; yield its port."""
    server = ThreadingHTTPServer((address, 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Gateway(BaseHTTPRequestHandler):
    """Passes requests on to moto, and keeps connections open as AWS does; moto closes each."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the head and the body of a response are two segments
    port = 0

    def do_POST(self) -> None:
        """Pass on one request and its response."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        upstream = HTTPConnection("127.0.0.1", self.port)
        upstream.request("POST", self.path, body, dict(self.headers))
        response = upstream.getresponse()
        content = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def behind_tls(port: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve ``port`` over TLS as well, as AWS does; yield the URL and the folder of the CAs that clients trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    # Beside the CAs of the layer, where OpenSSL has to find its own on Lambda, too.
    trusted = folder / "trusted"
    shutil.copytree(BUILD / "Layer" / "python" / "botocore" / "cacert", trusted)
    (folder / "trusted.pem").write_bytes(authority.cert_pem.bytes())
    trim_layer.hash_certificates(folder / "trusted.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Gateway", (Gateway,), {"port": port}))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}", trusted
    finally:
        server.shutdown()
        server.server_close()


def http_event(method: str, path: str, query: Mapping[str, str], body: str | None) -> dict[str, Any]:
    """An event of an HTTP API: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html."""
    return {
        "version": "2.0",
        "routeKey": f"ANY {path}",
        "rawPath": path,
        "rawQueryString": "&".join(f"{name}={value}" for name, value in query.items()),
        "queryStringParameters": dict(query),
        "headers": {"content-type": "application/json", "host": "api.example.org", "accept": "application/json"},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "203.0.113.7", "protocol": "HTTP/1.1"},
            "stage": "$default",
            "domainName": "api.example.org",
        },
        "body": body,
        "isBase64Encoded": False,
    }


class Bench:
    """The functions of one build, and the AWS that they talk to."""

    def __init__(self, build: Path, folder: Path, aws: local_aws.LocalAws, endpoint: str, trusted: Path) -> None:
        self._build = build
        self._table = DynamoTaskTable(aws.table)
        self._address = own_address()
        self._variables = {
            **local_aws.ENVIRONMENT,
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_CA_BUNDLE": str(trusted),
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            # As Lambda's runtime sets it.
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
        self._own = {"TASKS_TABLE": aws.table, "ALLOWED_NETWORKS": f"{self._address}/32"}
        self._queue_url = endpoint + aws.queue_path
        self._bare = folder / BARE
        self._bare.mkdir()
        (self._bare / "app.py").write_text(BARE_SOURCE)
        # The program itself: pyenv's command chooses a version by the folder in which it runs.
        where = [PYTHON, "-c", "import sys; print(sys.executable)"]
        self._python = subprocess.run(where, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        subprocess.run([self._python, "-m", "compileall", "-q", str(self._bare)], check=True)

    def start(self, function: str, port: int) -> Sample:
        """Start ``function`` once. Raises SystemExit if it does not do its work."""
        stored = self._store(function, port)
        url = f"http://{self._address}:{port}/file"
        event: dict[str, Any] = {}
        if function in (BARE, "SubmitFunction"):
            event = http_event("POST", "/submit", {}, json.dumps({"url": url, "email": "a@example.org"}))
        elif function == "CheckFunction":
            event = http_event("GET", "/check", {"id": stored.id}, None)
        elif function == "HashWorkerFunction":
            # As SQS delivers a message for the first time.
            attributes = {"ApproximateReceiveCount": "1"}
            event = {"Records": [{"messageId": "1", "body": encode(stored.id), "attributes": attributes}]}
        sample = self._run(function, event)
        if not self._did_its_work(function, sample.response, stored):
            raise SystemExit(f"{function}: {sample.response}")
        return sample

    def _store(self, function: str, port: int) -> Task:
        now = time.time()
        url = f"http://{self._address}:{port}/file"
        task = Task(
            id=str(uuid.uuid4()), url=url, created_at=now, updated_at=now, expires_at=int(now) + 3600, due_at=now
        )
        if function in ("CheckFunction", "HashWorkerFunction"):
            self._table.add(task)
        return task

    def _did_its_work(self, function: str, response: Any, stored: Task) -> bool:  # noqa: ANN401 - JSON
        match function:
            case "SubmitFunction":
                found = self._table.get(json.loads(response["body"])["id"])
                self._table.remove(found)  # no sweep shall find it
                return bool(response["statusCode"] == 202)  # noqa: PLR2004 - Accepted
            case "CheckFunction":
                self._table.remove(stored)
                return bool(json.loads(response["body"])["id"] == stored.id)
            case "HashWorkerFunction":
                return self._table.get(stored.id).status is Status.DONE
            case "SweeperFunction":
                return bool(response["resent"] == 0)
        return bool(response["statusCode"] == 202)  # noqa: PLR2004 - Accepted

    def _run(self, function: str, event: dict[str, Any]) -> Sample:
        variables = {} if function == BARE else deploy()[function]["Environment"]["Variables"]
        variables = {name: str(value) for name, value in variables.items()} | (self._own if variables else {})
        variables |= {name: self._queue_url for name in variables if name.endswith("QUEUE_URL")}
        code = self._bare if function == BARE else self._build / function
        process = subprocess.run(
            # As in the runtime: the function's folder first, then the layer's.
            [self._python, "-P", "-c", STARTER],
            input=json.dumps(event),
            env={
                **variables,
                **self._variables,
                "PYTHONPATH": os.pathsep.join([str(code), str(self._build / "Layer" / "python")]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd=code,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise SystemExit(f"{function}: {process.stderr}")
        return Sample(**json.loads(process.stdout.splitlines()[-1]))


def table(samples: Mapping[str, Sequence[Sample]]) -> tuple[str, bool]:
    """The medians as a table in Markdown, and whether every bar is met."""

    def both(function: str) -> float:
        return statistics.median(sample.init + sample.event for sample in samples[function])

    lines = ["| function | init | first event | both | both / bare | must reach | |", "|---|---|---|---|---|---|---|"]
    met = True
    for function, runs in samples.items():
        init, event = (statistics.median(getattr(run, name) for run in runs) for name in ("init", "event"))
        ratio = both(function) / both(BARE)
        bars, verdict = "", ""
        if function in BARS:
            most, most_event = BARS[function]
            good = (most is None or ratio <= most) and event <= most_event
            met = met and good
            bars = f"event ≤ {most_event:.0f}" + ("" if most is None else f", ratio ≤ {most:.2f}")
            verdict = "met" if good else "**missed**"
        lines.append(
            f"| {function} | {init:.0f} | {event:.1f} | {both(function):.0f} | {ratio:.2f} | {bars} | {verdict} |"
        )
    return "\n".join(lines), met


def main() -> int:
    """Print the medians; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="cold_start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--build", type=Path, default=BUILD, help="the folder of a build")
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        aws = stack.enter_context(local_aws.moto(0))
        os.environ.update(local_aws.ENVIRONMENT, AWS_ENDPOINT_URL=f"http://127.0.0.1:{aws.port}")
        endpoint, trusted = stack.enter_context(behind_tls(aws.port, folder))
        port = stack.enter_context(origin(own_address()))
        bench = Bench(arguments.build.resolve(), folder, aws, endpoint, trusted)
        samples: dict[str, list[Sample]] = {function: [] for function in FUNCTIONS}
        for number in range(arguments.rounds + 1):
            for function in FUNCTIONS:
                sample = bench.start(function, port)
                if number:  # the first round warms the page cache up
                    samples[function].append(sample)
    text, met = table(samples)
    print(f"CPU-ms, medians of {arguments.rounds} interleaved rounds\n\n{text}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
