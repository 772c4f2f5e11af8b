"""What every queue promises."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from tests.support.aws.template import create_queue
from tests.support.stores.every_queue import QueueRig, SqsRig, TableRig, redis_rig
from tests.support.stores.memory import MemoryTaskTable
from tests.support.stores.tables import sqlite_uri
from urlsum.queues import decode
from urlsum.tables.sql import SqlTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Ids of no table need not exist.
ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"


@pytest.fixture(params=["sqs", "redis", "table over sqlite", "table in memory"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueRig]:
    match request.param:
        case "sqs":
            with mock_aws():
                yield SqsRig(create_queue(boto3.client("sqs")))
        case "redis":
            with redis_rig() as made:
                yield made
        case "table over sqlite":
            table = SqlTaskTable(sqlite_uri(tmp_path))
            yield TableRig(table)
            # Python 3.13 warns of connections that nobody closed, and warnings are errors here.
            table._engine.dispose()
        case _:
            yield TableRig(MemoryTaskTable())


def test_delivers_what_was_sent(rig: QueueRig) -> None:
    task_id = rig.submit()
    [delivery] = rig.queue.receive(1, wait=5)
    assert decode(delivery.body) == task_id


def test_has_nothing_when_nothing_was_sent(rig: QueueRig) -> None:
    assert list(rig.queue.receive(10, wait=0)) == []


def test_waits_for_a_message_no_longer_than_it_is_told(rig: QueueRig) -> None:
    begin = time.monotonic()
    assert list(rig.queue.receive(1, wait=1)) == []
    assert 0.9 <= time.monotonic() - begin < 4


def test_hands_over_what_is_sent_while_it_waits(rig: QueueRig) -> None:
    timer = threading.Timer(0.3, rig.submit)
    timer.start()
    begin = time.monotonic()
    assert len(rig.queue.receive(1, wait=20)) == 1
    assert time.monotonic() - begin < 5
    timer.join()


def test_delivers_no_more_at_once_than_it_is_told_and_all_in_the_end(rig: QueueRig) -> None:
    sent = {rig.submit() for _ in range(3)}
    batches = [rig.queue.receive(2, wait=1) for _ in range(2)]
    assert [len(batch) for batch in batches] == [2, 1]
    assert {decode(delivery.body) for batch in batches for delivery in batch} == sent


def test_takes_a_limit_beyond_its_own(rig: QueueRig) -> None:
    sent = {rig.submit() for _ in range(12)}
    got: list[str] = []
    while batch := rig.queue.receive(100, wait=0):
        got += [decode(delivery.body) for delivery in batch]
    assert sorted(got) == sorted(sent)


def test_does_not_deliver_again_what_is_being_worked_on(rig: QueueRig) -> None:
    rig.submit()
    assert len(rig.queue.receive(1, wait=1)) == 1
    assert list(rig.queue.receive(1, wait=0)) == []


def test_delivers_again_what_was_not_deleted(rig: QueueRig) -> None:
    rig.submit()
    [first] = rig.queue.receive(1, wait=1)
    rig.lapse(first)
    [again] = rig.queue.receive(1, wait=1)
    assert (again.message_id, again.body) == (first.message_id, first.body)


def test_never_delivers_again_what_was_worked_on_and_deleted(rig: QueueRig) -> None:
    rig.submit()
    [delivery] = rig.queue.receive(1, wait=1)
    rig.work(delivery)
    rig.queue.delete(delivery)
    if not isinstance(rig, SqsRig):  # SQS knows no such receipt any more
        rig.lapse(delivery)
    assert list(rig.queue.receive(10, wait=0)) == []


def test_delivers_a_delayed_message_when_its_time_has_come(rig: QueueRig) -> None:
    begin = time.monotonic()
    rig.submit(delay=2)  # a busy machine may take a second over the next line
    assert list(rig.queue.receive(1, wait=0)) == []
    assert len(rig.queue.receive(1, wait=10)) == 1
    assert 1.9 <= time.monotonic() - begin < 6


def test_takes_a_delay_of_days(rig: QueueRig) -> None:
    rig.submit(delay=3 * 86400)
    assert list(rig.queue.receive(1, wait=0)) == []


def test_messages_that_are_delivered_together_differ_in_id_and_receipt(rig: QueueRig) -> None:
    ids = {rig.submit() for _ in range(3)}
    deliveries = rig.queue.receive(10, wait=1)
    assert {decode(delivery.body) for delivery in deliveries} == ids
    assert len({delivery.message_id for delivery in deliveries}) == 3
    assert len({delivery.receipt for delivery in deliveries}) == 3
