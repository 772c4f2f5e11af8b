"""POST /submit is atomic, and concurrent requests with one key create one task."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.aws.moto_process import moto_process
from tests.support.aws.template import create_table
from tests.support.stores.memory import MemoryQueue, secret
from tests.support.stores.tables import NOW, shared_mysql_database, sqlite_uri
from urlsum import service
from urlsum.errors import InvalidRequest, QueueUnavailable
from urlsum.origin.guard.guard import Guard
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.tables.sql import SqlTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urlsum.tables import TaskTable

pytestmark = pytest.mark.slow

SENDERS = 8


def rounds(table: TaskTable) -> range:
    """The rounds of a test: fewer on moto, which takes a hundredth of a second for each request."""
    return range(4 if isinstance(table, DynamoTaskTable) else 10)


class UnsteadyQueue(MemoryQueue):
    """Refuses every other message."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = random.Random(3)

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        if self._rng.random() < 0.5:
            raise QueueUnavailable("refused")
        super().send(task_id, delay=delay, continued=continued)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_process() as endpoint:
        yield endpoint


@pytest.fixture(params=["sqlite", "mysql", "dynamodb"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskTable]:
    match request.param:
        case "sqlite":
            yield SqlTaskTable(sqlite_uri(tmp_path))
        case "mysql":
            with shared_mysql_database() as uri:
                yield SqlTaskTable(uri)
        case "dynamodb":
            monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("aws"))
            client = boto3.client("dynamodb")
            name = create_table(client)
            yield DynamoTaskTable(name)
            client.delete_table(TableName=name)
            client.close()


def submit_at_once(table: TaskTable, queue: MemoryQueue, urls: list[str], key: str) -> list[str | Exception]:
    """Have every URL submitted under one key by a thread of its own; return ids or refusals."""
    start = threading.Barrier(len(urls))

    def submit(url: str) -> str | Exception:
        submission, guard = Submission(url=url, idempotency_key=key), Guard(Settings())
        start.wait()
        try:
            return service.submit(submission, table=table, queue=queue, guard=guard, secret=secret, now=NOW, ttl_days=1)
        except (InvalidRequest, QueueUnavailable) as exc:
            return exc

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(submit, urls))


def test_one_key_is_one_id_for_all_who_send_the_same_at_once(table: TaskTable) -> None:
    for round_ in rounds(table):
        queue = MemoryQueue()
        answers = submit_at_once(table, queue, ["https://example.org/f"] * SENDERS, f"key {round_}")
        [task_id] = set(answers)
        assert isinstance(task_id, str)
        assert table.get(task_id).url == "https://example.org/f"
        assert {sent for sent, _ in queue.sent} == {task_id}
        assert len(table.due(NOW, 1000)) == round_ + 1


def test_one_key_for_two_requests_at_once_is_one_task_and_refusals(table: TaskTable) -> None:
    for round_ in rounds(table):
        urls = [f"https://example.org/{number % 2}" for number in range(SENDERS)]
        answers = submit_at_once(table, MemoryQueue(), urls, f"key {round_}")
        [task_id] = {answer for answer in answers if isinstance(answer, str)}
        winner = table.get(task_id).url
        for url, answer in zip(urls, answers, strict=True):
            if url == winner:
                assert answer == task_id
            else:
                assert isinstance(answer, InvalidRequest)
                assert answer.field == "Idempotency-Key"


def test_whoever_got_an_id_has_a_task_and_a_message_though_the_queue_refuses_the_others(table: TaskTable) -> None:
    outcomes: Counter[bool] = Counter()
    for round_ in range(3 * len(rounds(table))):
        queue = UnsteadyQueue()
        answers = submit_at_once(table, queue, ["https://example.org/f"] * 3, f"key {round_}")
        ids = {answer for answer in answers if isinstance(answer, str)}
        outcomes[bool(ids)] += 1
        for task_id in ids:
            assert table.get(task_id).due_at == NOW
            assert task_id in {sent for sent, _ in queue.sent}
        if not ids:  # refused to all of them, so nothing was accepted; what a second sender marked, the sweeper takes
            assert queue.sent == []
    assert outcomes[True] > 0
