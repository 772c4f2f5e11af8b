"""What every queue promises."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from tests.support.aws.template import create_continuations_queue, create_queue
from tests.support.stores.every_queue import QueueRig, SqsRig, TableRig, redis_rig
from tests.support.stores.memory import MemoryTaskTable
from tests.support.stores.tables import shared_mysql_database, sqlite_uri
from urlsum.queues import Order, Waiting, decode
from urlsum.tables import Overdue
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Ids of no table need not exist.
ID = str(uuid.uuid4())


@pytest.fixture(params=["sqs", "redis", "table over sqlite", "table over mysql", "table in memory"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueRig]:
    match request.param:
        case "sqs":
            with mock_aws():
                sqs = boto3.client("sqs")
                yield SqsRig(create_queue(sqs), create_continuations_queue(sqs))
        case "redis":
            with redis_rig() as made:
                yield made
        case "table over sqlite":
            database = Database(sqlite_uri(tmp_path))
            yield TableRig(SqlTaskTable(database))
            # Python 3.13 warns of connections that nobody closed, and warnings are errors here.
            database.close()
        case "table over mysql":
            with shared_mysql_database() as uri:
                database = Database(uri)
                yield TableRig(SqlTaskTable(database))
                database.close()
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


def taken(rig: QueueRig, order: Order = Order.FIRST) -> list[str]:
    """The ids of the next deliveries, one by one, until there is none."""
    ids: list[str] = []
    while batch := rig.queue.receive(1, wait=0, order=order):
        ids += [decode(delivery.body) for delivery in batch]
    return ids


def test_delivers_continuations_in_the_order_of_waiting_when_nothing_else_waits(rig: QueueRig) -> None:
    sent = []
    for _ in range(3):
        sent.append(rig.submit(continued=True))
        time.sleep(1.1)  # RQ's times are whole seconds
    assert taken(rig) == sent


def test_delivers_first_slices_before_continuations(rig: QueueRig) -> None:
    continued = [rig.submit(continued=True) for _ in range(3)]
    first = [rig.submit() for _ in range(3)]
    ids = taken(rig)
    assert sorted(ids[:3]) == sorted(first)
    assert sorted(ids[3:]) == sorted(continued)


def test_says_of_each_delivery_whether_it_is_a_continuation_and_deletes_either(rig: QueueRig) -> None:
    sent = {rig.submit(): False, rig.submit(continued=True): True}
    for _ in sent:
        [delivery] = rig.queue.receive(1, wait=1)
        assert delivery.continued is sent[decode(delivery.body)]
        rig.work(delivery)
        rig.queue.delete(delivery)
    assert taken(rig) == []


def test_keeps_continuations_from_who_wants_first_slices_only(rig: QueueRig) -> None:
    rig.submit(continued=True)
    first = rig.submit()
    assert taken(rig, Order.FIRST_ONLY) == [first]
    assert list(rig.queue.receive(1, wait=1, order=Order.FIRST_ONLY)) == []


def test_delivers_a_continuation_before_first_slices_to_who_wants_it(rig: QueueRig) -> None:
    first = [rig.submit() for _ in range(3)]
    continued = rig.submit(continued=True)
    [delivery] = rig.queue.receive(1, wait=0, order=Order.CONTINUED)
    assert decode(delivery.body) == continued
    assert sorted(taken(rig, Order.CONTINUED)) == sorted(first)


def test_a_delayed_continuation_waits_until_its_time_has_come(rig: QueueRig) -> None:
    assert taken(rig) == []  # makes boto's clients, which can take seconds
    begin = time.monotonic()
    task_id = rig.submit(delay=2, continued=True)
    assert taken(rig) == []
    assert [decode(delivery.body) for delivery in rig.queue.receive(1, wait=10)] == [task_id]
    assert 1.9 <= time.monotonic() - begin < 6


def test_knows_whether_a_message_is_missing_beside_those_that_wait_are_delayed_or_with_a_worker(rig: QueueRig) -> None:
    rig.submit(delay=800)
    rig.submit(delay=800, continued=True)
    rig.submit()
    [_running] = rig.queue.receive(1, wait=0)
    waiting = [Overdue(rig.submit(continued=continued), 0.0, 0.0, continued) for continued in (False, True)]
    lost = Overdue(ID, 0.0, 0.0, continued=False)
    assert rig.queue.held().missing(waiting) == []
    assert rig.queue.held().missing([lost, *waiting]) == ([] if rig.queue.reads_table else [ID])


def test_counts_what_waits(rig: QueueRig) -> None:
    assert rig.queue.count_waiting(0.0) == Waiting()
    rig.submit(continued=True)
    time.sleep(1.1)  # a moment of patience
    assert rig.queue.count_waiting(0.0) == Waiting(continued=1)
    if isinstance(rig, SqsRig):
        return  # first slices have workers of their own, and SQS tells no ages
    assert rig.queue.count_waiting(60.0) == Waiting()
    rig.submit()
    time.sleep(1.1)
    assert rig.queue.count_waiting(60.0) == Waiting(first=1)
    rig.work(*rig.queue.receive(1, wait=0))
    assert rig.queue.count_waiting(60.0) == Waiting()
