"""The worker's code with services in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from functions.hash_worker.app import process
from tests.support.aws.fake_lambda import Context, record
from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum import wiring
from urlsum.errors import TableUnavailable
from urlsum.queues import encode
from urlsum.settings import load
from urlsum.task import Mail, Task
from urlsum.worker import reuse

if TYPE_CHECKING:
    from urlsum.wiring import Services

EMAIL = "secret.person@abc.ru"
SIGNATURE = "X-Amz-Signature=5ec2e7"
URL = f"https://o.example/a.bam?{SIGNATURE}"


class FlakyTaskTable(MemoryTaskTable):
    """A table that fails for the tasks in ``silent``."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: set[str] = set()

    def get(self, task_id: str, *, consistent: bool = True) -> Task:
        if task_id in self.silent:
            raise TableUnavailable("the table does not answer")
        return super().get(task_id, consistent=consistent)


class WorkerSetup:
    """A worker's services; every piece of ``source`` takes a second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = FlakyTaskTable()
        self.records = MemoryRecords()
        self.queue = MemoryQueue()
        self.mailer = MemoryMailer()
        self.source = SyntheticSource(b"x" * 100_000, self.clock)
        self.settings = load()

    def services(self) -> Services:
        wired = wiring.wire(self.settings)
        return replace(
            wired,
            table=self.table,
            records=self.records,
            queue=self.queue,
            mailer=self.mailer,
            source=self.source,
            clock=self.clock,
            monotonic=self.clock,
        )

    def add(self, **changes: Any) -> Task:
        now = self.clock()
        defaults = {
            "url": URL,
            "email": EMAIL,
            "mail": Mail.PENDING,
            "created_at": now,
            "updated_at": now,
            "due_at": now,
        }
        task = new_task(**{**defaults, **changes})
        self.table.add(task)
        return task

    def process(self, *bodies: str, seconds: float = 300.0) -> list[str]:
        """Handle a batch; return the ids of the messages to redeliver. Messages have the ids 0, 1, and so on."""
        records = [record(body, str(number)) for number, body in enumerate(bodies)]
        response = process({"Records": records}, Context(seconds), services=self.services)
        assert response.keys() == {"batchItemFailures"}
        assert all(failure.keys() == {"itemIdentifier"} for failure in response["batchItemFailures"])
        # Lambda accepts any order, and the messages fail in parallel.
        return sorted(failure["itemIdentifier"] for failure in response["batchItemFailures"])

    def work_on(self, task: Task, seconds: float = 300.0) -> Task:
        body = encode(task.id, continued=self.table.get(task.id).continued)
        assert self.process(body, seconds=seconds) == []
        return self.table.get(task.id)


@pytest.fixture(autouse=True)
def _files_of_other_tests() -> None:
    """Forget them: the tests have one URL for files of all sizes."""
    reuse._last_seen.clear()


@pytest.fixture
def setup() -> WorkerSetup:
    return WorkerSetup()
