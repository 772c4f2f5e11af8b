"""A deployment for worker processes (store, queue, origin, outbox) and checks of its tasks."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

import boto3

from selfhost.migrate import upgrade
from tests.support.aws.moto_process import moto_process
from tests.support.aws.template import create_queue, create_table
from tests.support.origin.origin_server import File, OriginServer, Request, Steps, Trickle
from tests.support.stores.audit import Audit, SqlAudit, StreamAudit
from tests.support.stores.every_mailer import parse
from tests.support.stores.tables import mysql_database
from urlsum import service, settings, wiring
from urlsum.service import Submission
from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from urlsum.task import Task
    from urlsum.wiring import Services

# Times, scaled down as far as a busy test machine allows. The lease must outlast checkpoint interval and time-outs
# together, see urlsum.settings.
CHECKPOINT_SECONDS = 0.1
LEASE_SECONDS = 1.2
TIMES = {
    "CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS),
    "CONNECT_TIMEOUT": "0.5",
    "READ_TIMEOUT": "0.5",
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "SWEEP_SECONDS": "0.5",
    "RETRY_BASE_SECONDS": "0.1",
    # Kills are a thousand times more frequent than in production; a task may suffer some before its first checkpoint.
    "MAX_ATTEMPTS": "100",
    # One connection: prefetched bytes would count as served, but kills alone must explain the bytes served twice.
    "CONNECTIONS_PER_ORIGIN": "1",
    # A test starts, stops and kills each process itself.
    "WORKER_PROCESSES": "1",
    "ALLOWED_NETWORKS": "127.0.0.0/8",
}
# The rate of the origin: at most 200 pieces of 32 KiB a second, which is 6.5 MB/s. So the socket buffers are almost
# empty when a reader is killed.
PIECE_BYTES = 32 * 1024
PIECE_SECONDS = 0.005
INTERVAL_BYTES = CHECKPOINT_SECONDS * PIECE_BYTES / PIECE_SECONDS
# A resume reads this overlap again to verify that the file is unchanged, see urlsum.origin.version.version.
RESUME_OVERLAP_BYTES = 64 * 1024


@dataclass
class PacedFiles:
    """Files ``/0``, ``/1``, … of ``sizes`` bytes, served slowly; ``served`` counts the bytes sent."""

    sizes: list[int]
    served: int = 0
    contents: list[bytes] = field(init=False)
    digests: list[str] = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(1)
        self.contents = [rng.randbytes(size) for size in self.sizes]
        self.digests = [hashlib.md5(content).hexdigest() for content in self.contents]

    def __call__(self, request: Request) -> Steps:
        number = int(request.path[1:].partition("?")[0])
        steps = File(self.contents[number], etag=f'"{number}"', last_modified=None)(request)
        return [Trickle(s, PIECE_SECONDS, PIECE_BYTES, self._count) if isinstance(s, memoryview) else s for s in steps]

    def _count(self, length: int) -> None:
        self.served += length


@dataclass
class WorkerDeployment:
    """The store, queue, origin and outbox of worker processes."""

    env: dict[str, str]
    services: Services
    audit: Audit
    files: PacedFiles
    origin: OriginServer
    outbox: Path
    tasks: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def submit(self, count: int = 1, *, shared: bool = False) -> None:
        """Submit ``count`` files as POST /submit does, with an email address.

        Each has a query of its own, so that each is read, unless they are ``shared``.
        """
        for _ in range(count):
            number = len(self.tasks) % len(self.files.sizes)
            query = "" if shared else f"?{len(self.tasks)}"
            # Each file from an origin of its own, or the tasks would wait for one another's single connection.
            host = ip_address("127.0.0.1") + (0 if shared else len(self.tasks))
            task_id = service.submit(
                Submission(url=self.origin.url(f"/{number}{query}", host=str(host)), email="reader@abc.ru"),
                table=self.services.table,
                queue=self.services.queue,
                guard=self.services.guard,
                secret=self.services.secret,
                now=time.time(),
                ttl_days=1,
            )
            self.tasks[task_id] = number

    def task(self, task_id: str) -> Task:
        return self.services.table.get(task_id)

    def unfinished(self) -> set[str]:
        """Tasks that have not ended, or whose email is pending. Settled tasks are not read again."""
        for task_id in self.tasks.keys() - self.settled:
            if self.task(task_id).due_at is None:
                self.settled.add(task_id)
        return self.tasks.keys() - self.settled

    def wait(self, seconds: float) -> None:
        """Wait until no task is unfinished."""
        deadline = time.monotonic() + seconds
        while left := self.unfinished():
            assert time.monotonic() < deadline, f"{len(left)} of {len(self.tasks)} tasks hang"
            time.sleep(0.2)

    @property
    def size(self) -> int:
        """The bytes of all submitted files."""
        return sum(self.files.sizes[number] for number in self.tasks.values())

    def mails(self) -> Counter[str]:
        """The number of emails that each task has sent."""
        texts = [parse(path.read_bytes()).body for path in self.outbox.glob("*.eml")]
        return Counter(match[1] for text in texts if (match := re.search(r"^Task: +(\S+)$", text, re.MULTILINE)))

    def assert_right(self) -> None:
        """Check that every task has the right digest and that at least one email reports it."""
        for task_id, number in self.tasks.items():
            task = self.task(task_id)
            assert (task.status, task.md5, task.mail) == (Status.DONE, self.files.digests[number], Mail.SENT), task
        mails = self.mails()
        assert mails.keys() == self.tasks.keys()


@contextmanager
def _sql(uri: str) -> Iterator[tuple[dict[str, str], Audit]]:
    upgrade(uri)
    yield {"DATABASE_URI": uri}, SqlAudit(uri)


@contextmanager
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, str], Audit]]:
    with moto_process() as endpoint:
        env = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
        table, queue = create_table(dynamodb), create_queue(sqs)
        dynamodb.close()
        sqs.close()
        yield {**env, "TASKS_TABLE": table, "TASKS_QUEUE_URL": queue}, StreamAudit(table)


@contextmanager
def worker_deployment(
    kind: str, directory: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], **times: str
) -> Iterator[WorkerDeployment]:
    """Yield a deployment whose store is ``kind``: sqlite, mysql or aws (DynamoDB and SQS by moto)."""
    files = PacedFiles(sizes)
    with OriginServer(files, host="0.0.0.0") as origin, _store(kind, directory, monkeypatch) as (store, audit):
        outbox = directory / "outbox"
        env = {**TIMES, **times, **store, "OUTBOX_DIR": str(outbox)}
        config = settings.parse({name.lower(): value for name, value in env.items()})
        yield WorkerDeployment(env, wiring.wire(config), audit, files, origin, outbox)


@contextmanager
def _store(kind: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, str], Audit]]:
    match kind:
        case "sqlite":
            with _sql(f"sqlite:///{directory / 'urlsum.db'}") as backend:
                yield backend
        case "mysql":
            with mysql_database() as uri, _sql(uri) as backend:
                yield backend
        case "aws":
            with _aws(monkeypatch) as backend:
                yield backend
