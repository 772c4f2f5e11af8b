"""A running deployment in moto and containers: what a caller does with it, and the origin that it reads from."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from moto.ses.models import ses_backends

from scripts.sam_build import host_architecture
from tests.support.aws.judge import ACCOUNT, REGION, split
from tests.support.aws.lambda_service import LambdaService
from tests.support.aws.moto_stack import BUCKET, MotoStack, judged_moto
from tests.support.origin.origin_server import File, OriginServer, Request, Step, head
from tests.support.processes.lambda_container import network
from urlsum.tables.dynamodb import DynamoTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.aws.judge import Permission, Statement
    from tests.support.web.clients import Answer

HOST = "files.example.org"
# One of the ports that the guard allows at public hosts.
ORIGIN_PORT = 8080
# Two reads of the worker; half of it is a checkpoint.
BODY = os.urandom(2 * 2**20 + 1)
MD5 = hashlib.md5(BODY).hexdigest()
RECIPIENT = "someone@example.com"
# For a retry, which is delayed by up to 5 s, on a machine that does other things as well.
DONE_SECONDS = 60.0


@dataclass
class Origin:
    """Serves ``BODY``; the first response at ``/cut…`` stops in the middle, and ends there once ``go`` is set.

    Until ``again`` is set there is no second one: a worker with several connections would need no other worker.
    """

    file: File = field(default_factory=lambda: File(BODY))
    asked: set[str] = field(default_factory=set)
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    again: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: Request) -> Iterable[Step]:
        first = request.path not in self.asked
        self.asked.add(request.path)
        if not request.path.startswith("/cut"):
            return self.file(request)
        if first:
            return self._cut()
        return self.file(request) if self.again.is_set() else [head("503 Service Unavailable", "Content-Length: 0")]

    def _cut(self) -> Iterator[Step]:
        yield head("200 OK", f"ETag: {self.file.etag}", f"Content-Length: {len(BODY)}")
        yield memoryview(BODY)[: len(BODY) // 2]
        self.reached.set()
        self.go.wait(DONE_SECONDS)


@dataclass(frozen=True)
class Deployment:
    stack: MotoStack
    lambdas: LambdaService
    origin: Origin

    @property
    def table(self) -> DynamoTaskTable:
        return DynamoTaskTable(self.stack.physical["TasksTable"], lambda: self.stack.moto.client("dynamodb"))

    def submit(self, path: str, **members: Any) -> Answer:
        key = members.pop("key", None)
        headers = {"Idempotency_Key": key} if key else {}
        return self.lambdas.request(
            "POST", "/submit", {"url": f"http://{HOST}:{ORIGIN_PORT}{path}", **members}, **headers
        )

    def check(self, task_id: str, **headers: str) -> Answer:
        return self.lambdas.request("GET", f"/check?id={task_id}", **headers)

    def final(self, task_id: str) -> dict[str, Any]:
        """Deliver messages until the task has ended; return the response of /check."""
        deadline = time.monotonic() + DONE_SECONDS
        while (answer := self.check(task_id)).status == 202:
            assert time.monotonic() < deadline, answer.body
            if not self.lambdas.poll():
                time.sleep(0.5)
        result: dict[str, Any] = answer.json()
        return result

    def permissions(self) -> dict[Permission, Statement]:
        found = self.stack.moto.judge.statements
        return {p: statement for role in found for p, statement in split(role, found[role]).items()}


def emails(task_id: str) -> list[Any]:
    """What SES has accepted about a task."""
    sent = ses_backends[ACCOUNT][REGION].sent_messages
    return [message for message in sent if task_id in message.body]


@contextmanager
def deployed(build: Path, folder: Path) -> Iterator[Deployment]:
    """Deploy ``build``; a function's container starts with its first event, and ``folder`` gets its code."""
    with ExitStack() as stack:
        own = stack.enter_context(network("urlsum-proof"))
        moto = stack.enter_context(judged_moto(own.gateway))
        moto.client("s3").create_bucket(Bucket=BUCKET)
        origin = Origin()
        stack.enter_context(OriginServer(origin, host=own.gateway, port=ORIGIN_PORT))
        made = MotoStack(moto, build, Architecture=host_architecture())
        lambdas = LambdaService(made, own, folder, {HOST: own.gateway})
        stack.callback(lambdas.close)
        yield Deployment(made, lambdas, origin)


@contextmanager
def without(deployment: Deployment, function: str, action: str) -> Iterator[None]:
    """Take every permission of an action away from the role of a function."""
    role, held = deployment.stack.role(function), deployment.stack.moto.judge.statements
    before = held[role]
    held[role] = [s for p, s in split(role, before).items() if p.action != action]
    try:
        yield
    finally:
        held[role] = before


def put_off(deployment: Deployment, task_id: str, *, seconds: float, continued: bool) -> None:
    """Change when a task is due, as if it had waited before: ``seconds`` from now, perhaps in the past."""
    task, due = deployment.table.get(task_id), time.time() + seconds
    deployment.table.save(replace(task, due_at=due, not_before=due, updated_at=due, continued=continued), over=task)


def lose_messages(deployment: Deployment) -> None:
    """Empty the queues."""
    queues = deployment.stack.moto.client("sqs")
    for url in queues.list_queues()["QueueUrls"]:
        queues.purge_queue(QueueUrl=url)
