"""A message that ends in the dead-letter queue leaves no task hanging, and redriving it does no harm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import moto
import pytest

from tests.support.aws.template import create_queue, create_table
from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, secret
from urlsum import service
from urlsum.deadline import Deadline
from urlsum.errors import NothingToDo
from urlsum.origin.guard.guard import Guard
from urlsum.queues import decode
from urlsum.queues.sqs import SqsQueue
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.tables.dynamodb import DynamoTaskTable
from urlsum.task import Status, Task
from urlsum.worker.delivery import handle
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

SETTINGS = Settings(max_attempts=3)
# As template.yaml has it: deliveries until a message is a dead letter.
RECEIVES = 5


class Cloud:
    """The table and both queues of template.yaml, with one task submitted."""

    def __init__(self) -> None:
        self.client: Any = boto3.client("sqs")
        self.tasks_url = create_queue(self.client)
        self.dead_url = self.client.get_queue_url(QueueName="DeadLetterQueue")["QueueUrl"]
        self.table = DynamoTaskTable(create_table(boto3.client("dynamodb")))
        self.queue = SqsQueue(self.tasks_url)
        self.clock = Clock(time.time())
        self.mailer = MemoryMailer()
        self.id = service.submit(
            Submission(url="https://origin.example/f", email="reader@abc.ru"),
            table=self.table,
            queue=self.queue,
            guard=Guard(SETTINGS),
            secret=secret,
            now=self.clock(),
            ttl_days=1,
        )

    def crash_on_every_delivery(self, *, claiming: bool) -> None:
        for _ in range(RECEIVES):
            [delivery] = self.queue.receive(1, wait=0)
            if claiming:
                before = self.table.get(self.id)
                taken = before.claimed(self.clock(), SETTINGS.lease_seconds)
                self.table.save(taken, over=before, lease_before=self.clock())
            self.clock.now += 1800
            self.client.change_message_visibility(
                QueueUrl=self.tasks_url, ReceiptHandle=delivery.receipt, VisibilityTimeout=0
            )
        assert list(self.queue.receive(1, wait=0)) == []  # this look moves it
        assert self.dead_letters() == 1

    def dead_letters(self) -> int:
        attributes = self.client.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def sweep(self) -> None:
        sweep(self.table, self.queue, now=self.clock(), settings=SETTINGS)

    def work(self, task_id: str) -> Task | None:
        source = SyntheticSource(b"x" * 1000, self.clock)
        deps = Deps(SETTINGS, self.table, source, self.clock, self.clock, self.queue, self.mailer)
        return handle(task_id, deps, deadline=Deadline.after(100, clock=self.clock))


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with moto.mock_aws():
        yield Cloud()


def test_a_task_that_no_worker_came_to_claim_is_sent_again(cloud: Cloud) -> None:
    cloud.crash_on_every_delivery(claiming=False)
    cloud.sweep()
    [delivery] = cloud.queue.receive(10, wait=0)
    done = cloud.work(decode(delivery.body))
    assert done is not None
    assert (done.id, done.status) == (cloud.id, Status.DONE)


def test_a_task_whose_workers_all_crashed_fails_and_its_mail_says_so(cloud: Cloud) -> None:
    cloud.crash_on_every_delivery(claiming=True)
    cloud.sweep()
    task = cloud.table.get(cloud.id)
    assert task.status is Status.FAILED
    assert task.error is not None
    assert "workers stopped 3 times without making progress" in task.error.message
    [delivery] = cloud.queue.receive(10, wait=0)
    cloud.work(decode(delivery.body))
    [letter] = cloud.mailer.letters
    assert letter.subject == "No MD5 for f (internal)"


def test_what_is_redriven_after_the_sweep_changes_nothing(cloud: Cloud) -> None:
    cloud.crash_on_every_delivery(claiming=False)
    cloud.sweep()
    [delivery] = cloud.queue.receive(10, wait=0)
    cloud.work(decode(delivery.body))
    settled = cloud.table.get(cloud.id)
    [dead] = cloud.client.receive_message(QueueUrl=cloud.dead_url)["Messages"]
    assert cloud.work(decode(dead["Body"])) is None
    assert cloud.table.get(cloud.id) == settled
    assert len(cloud.mailer.letters) == 1
    with pytest.raises(NothingToDo):
        settled.claimed(cloud.clock() + 10**6, 90)
