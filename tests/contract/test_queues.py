"""What every queue promises, and then what each promises of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import boto3
import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from moto import mock_aws

from tests.support.aws_endpoint import HANG_UP, Answer, AwsEndpoint, aws_endpoint, error
from tests.support.memory import MemoryTaskTable
from tests.support.queues import QueueRig, SqsRig, TableRig
from tests.support.tables import new_task, sqlite_uri
from tests.support.template import create_queue
from urlsum.errors import QueueUnavailable
from urlsum.queues import Delivery, decode, encode, lambda_record, sqs
from urlsum.queues.sqs import SqsQueue
from urlsum.queues.table import TableQueue
from urlsum.tables.sql import SqlTaskTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Ids of no table need not exist.
ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"


@pytest.fixture(params=["sqs", "table over sqlite", "table in memory"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueRig]:
    match request.param:
        case "sqs":
            with mock_aws():
                yield SqsRig(create_queue(boto3.client("sqs")))
        case "table over sqlite":
            yield TableRig(SqlTaskTable(sqlite_uri(tmp_path)))
        case _:
            yield TableRig(MemoryTaskTable())


class TestEveryQueue:
    def test_delivers_what_was_sent(self, rig: QueueRig) -> None:
        task_id = rig.submit()
        [delivery] = rig.queue.receive(1, wait=5)
        assert decode(delivery.body) == task_id
        assert delivery.receive_count == 1

    def test_has_nothing_when_nothing_was_sent(self, rig: QueueRig) -> None:
        assert list(rig.queue.receive(10, wait=0)) == []

    def test_waits_for_a_message_no_longer_than_it_is_told(self, rig: QueueRig) -> None:
        begin = time.monotonic()
        assert list(rig.queue.receive(1, wait=1)) == []
        assert 0.9 <= time.monotonic() - begin < 4

    def test_hands_over_what_is_sent_while_it_waits(self, rig: QueueRig) -> None:
        timer = threading.Timer(0.3, rig.submit)
        timer.start()
        begin = time.monotonic()
        assert len(rig.queue.receive(1, wait=20)) == 1
        assert time.monotonic() - begin < 5
        timer.join()

    def test_delivers_no_more_at_once_than_it_is_told_and_all_in_the_end(self, rig: QueueRig) -> None:
        sent = {rig.submit() for _ in range(3)}
        batches = [rig.queue.receive(2, wait=1) for _ in range(2)]
        assert [len(batch) for batch in batches] == [2, 1]
        assert {decode(delivery.body) for batch in batches for delivery in batch} == sent

    def test_takes_a_limit_beyond_its_own(self, rig: QueueRig) -> None:
        sent = {rig.submit() for _ in range(12)}
        got: list[str] = []
        while batch := rig.queue.receive(100, wait=0):
            got += [decode(delivery.body) for delivery in batch]
        assert sorted(got) == sorted(sent)

    def test_does_not_deliver_again_what_is_being_worked_on(self, rig: QueueRig) -> None:
        rig.submit()
        assert len(rig.queue.receive(1, wait=1)) == 1
        assert list(rig.queue.receive(1, wait=0)) == []

    def test_delivers_again_what_was_not_deleted(self, rig: QueueRig) -> None:
        rig.submit()
        [first] = rig.queue.receive(1, wait=1)
        rig.lapse(first)
        [again] = rig.queue.receive(1, wait=1)
        assert (again.message_id, again.body) == (first.message_id, first.body)

    def test_never_delivers_again_what_was_worked_on_and_deleted(self, rig: QueueRig) -> None:
        rig.submit()
        [delivery] = rig.queue.receive(1, wait=1)
        rig.work(delivery)
        rig.queue.delete(delivery)
        if not isinstance(rig, SqsRig):  # SQS knows no such receipt any more
            rig.lapse(delivery)
        assert list(rig.queue.receive(10, wait=0)) == []

    def test_delivers_a_delayed_message_when_its_time_has_come(self, rig: QueueRig) -> None:
        begin = time.monotonic()
        rig.submit(delay=1)
        assert list(rig.queue.receive(1, wait=0)) == []
        assert len(rig.queue.receive(1, wait=10)) == 1
        assert 0.9 <= time.monotonic() - begin < 5

    def test_takes_a_delay_of_days(self, rig: QueueRig) -> None:
        rig.submit(delay=3 * 86400)
        assert list(rig.queue.receive(1, wait=0)) == []

    def test_delivers_records_that_the_batch_processor_can_fail_one_by_one(self, rig: QueueRig) -> None:
        ids = sorted(rig.submit() for _ in range(3))
        deliveries = rig.queue.receive(10, wait=1)

        def handle(record: object) -> None:
            if decode(record.body) == ids[1]:  # type: ignore[attr-defined] # Powertools' SQSRecord
                raise ValueError(ids[1])

        answer = process_partial_response(
            event={"Records": [lambda_record(delivery) for delivery in deliveries]},
            record_handler=handle,
            processor=BatchProcessor(EventType.SQS),
        )
        [failed] = answer["batchItemFailures"]
        [delivery] = [delivery for delivery in deliveries if delivery.message_id == failed["itemIdentifier"]]
        assert decode(delivery.body) == ids[1]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEndpoint]:
    monkeypatch.setattr(sqs, "ANSWER_SECONDS", 0.3)
    with aws_endpoint() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.fixture
def scripted(endpoint: AwsEndpoint) -> SqsQueue:
    return SqsQueue(f"{endpoint.url}/123456789012/tasks")


class TestSqs:
    @pytest.mark.parametrize(
        ("delay", "seconds"),
        [(0, 0), (-5, 0), (0.001, 1), (1, 1), (1.2, 2), (899.5, 900), (900, 900), (901, 900), (float("inf"), 900)],
    )
    def test_rounds_a_delay_up_and_waits_at_most_fifteen_minutes(
        self, scripted: SqsQueue, endpoint: AwsEndpoint, delay: float, seconds: int
    ) -> None:
        endpoint.script(Answer(body={"MessageId": "1", "MD5OfMessageBody": "0" * 32}))
        scripted.send(ID, delay=delay)
        [request] = endpoint.requests
        assert request["DelaySeconds"] == seconds
        assert request["MessageBody"] == encode(ID)

    @pytest.mark.parametrize(
        ("limit", "wait", "asked"), [(1, 0.9, (1, 0)), (10, 20, (10, 20)), (99, 3600, (10, 20)), (3, 2.5, (3, 2))]
    )
    def test_asks_for_what_the_service_allows(
        self, scripted: SqsQueue, endpoint: AwsEndpoint, limit: int, wait: float, asked: tuple[int, int]
    ) -> None:
        scripted.receive(limit, wait=wait)
        [request] = endpoint.requests
        assert (request["MaxNumberOfMessages"], request["WaitTimeSeconds"]) == asked

    def test_counts_the_deliveries(self) -> None:
        with mock_aws():
            rig = SqsRig(create_queue(boto3.client("sqs")))
            rig.submit()
            [first] = rig.queue.receive(1, wait=1)
            rig.lapse(first)
            [second] = rig.queue.receive(1, wait=1)
            assert (first.receive_count, second.receive_count) == (1, 2)

    def test_does_not_cut_its_own_long_poll(self, scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
        endpoint.script(Answer(pause=1.0))  # more than ANSWER_SECONDS, which is for sending
        assert scripted.receive(1, wait=1) == []
        assert len(endpoint.requests) == 1

    @pytest.mark.parametrize(
        ("fault", "tries"),
        [
            (error(400, "QueueDoesNotExist"), 1),
            (error(403, "AccessDenied"), 1),
            (error(400, "KmsAccessDenied"), 1),
            (error(400, "RequestThrottled"), 3),
            (error(500, "InternalFailure"), 3),
            (error(503, "ServiceUnavailable"), 3),
            (HANG_UP, 3),
            (Answer(pause=1.0), 3),
        ],
        ids=["no queue", "no permission", "no key", "throttled", "500", "503", "hangs up", "silent"],
    )
    @pytest.mark.parametrize(
        "call",
        [lambda queue: queue.send(ID), lambda queue: queue.delete(Delivery("1", "receipt", encode(ID), 1))],
        ids=["send", "delete"],
    )
    def test_is_unavailable_after_as_many_tries_as_make_sense(
        self, scripted: SqsQueue, endpoint: AwsEndpoint, fault: Answer, tries: int, call: Callable[[SqsQueue], None]
    ) -> None:
        endpoint.script(fault)
        with pytest.raises(QueueUnavailable, match=r"^SQS: ") as caught:
            call(scripted)
        assert caught.value.__cause__ is not None
        assert len(endpoint.requests) == tries

    def test_is_unavailable_to_receivers_too(self, scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
        endpoint.script(error(400, "OverLimit"))
        with pytest.raises(QueueUnavailable):
            scripted.receive(1, wait=0)

    def test_gets_over_one_bad_answer(self, scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
        endpoint.script(error(503, "ServiceUnavailable"), Answer(body={"MessageId": "1"}))
        scripted.send(ID)
        assert len(endpoint.requests) == 2

    def test_is_unavailable_where_nothing_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(QueueUnavailable):
            SqsQueue(f"http://127.0.0.1:{port}/1/tasks").send(ID)

    @pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"])
    def test_is_unavailable_without_credentials_or_region(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.delenv(missing)
        queue = SqsQueue("https://sqs.eu-central-1.amazonaws.com/1/tasks")  # as cheap as promised: it asks nobody
        with pytest.raises(QueueUnavailable):
            queue.send(ID)

    def test_answers_before_api_gateway_gives_up(self) -> None:
        # botocore's standard mode pauses at most 1 s and then 2 s between three tries.
        assert sqs.TRIES == 3
        assert sqs.TRIES * (sqs.CONNECT_SECONDS + sqs.ANSWER_SECONDS) + 1 + 2 < 29


class CountingTable(MemoryTaskTable):
    """Counts the looks, and runs ``after_look`` when one is done."""

    looks = 0

    def after_look(self) -> None:
        pass

    def due(self, before: float, limit: int) -> list[str]:
        self.looks += 1
        found = super().due(before, limit)
        self.after_look()
        return found


class TestTable:
    def test_finds_what_another_process_sent_within_its_poll_interval(self) -> None:
        table = MemoryTaskTable()
        queue = TableQueue(table, poll_seconds=0.05)
        threading.Timer(0.2, table.add, [new_task(due_at=1.0)]).start()  # and no send(): that was in another process
        begin = time.monotonic()
        assert len(queue.receive(1, wait=20)) == 1
        assert time.monotonic() - begin < 5

    def test_looks_at_the_table_no_more_often_than_the_poll_interval(self) -> None:
        table = CountingTable()
        TableQueue(table, poll_seconds=0.1).receive(1, wait=0.55)
        assert table.looks <= 7

    def test_a_send_wakes_a_receiver_that_would_poll_much_later(self) -> None:
        table = MemoryTaskTable()
        queue = TableQueue(table, poll_seconds=60)

        def submit() -> None:
            table.add(new_task(due_at=1.0))
            queue.send(ID)

        timer = threading.Timer(0.2, submit)
        timer.start()
        begin = time.monotonic()
        assert len(queue.receive(1, wait=30)) == 1
        assert time.monotonic() - begin < 5
        timer.join()

    def test_a_send_between_the_look_and_the_wait_is_not_missed(self) -> None:
        table = CountingTable()
        queue = TableQueue(table, poll_seconds=60)

        def submit_once() -> None:
            if table.looks == 1:
                table.add(new_task(due_at=1.0))
                queue.send(ID)

        table.after_look = submit_once  # type: ignore[method-assign] # the hook of this fake
        begin = time.monotonic()
        assert len(queue.receive(1, wait=30)) == 1
        assert time.monotonic() - begin < 5

    def test_a_delayed_send_wakes_nobody(self) -> None:
        table = CountingTable()
        queue = TableQueue(table, poll_seconds=60)
        timer = threading.Timer(0.1, queue.send, [ID], {"delay": 5})
        timer.start()
        queue.receive(1, wait=0.4)
        timer.join()
        assert table.looks == 2  # at the beginning and at the end

    def test_follows_the_wall_clock_it_was_given(self) -> None:
        table = MemoryTaskTable()
        table.add(new_task(due_at=1000.0))
        now = 999.9
        queue = TableQueue(table, clock=lambda: now)
        assert queue.receive(1, wait=0) == []
        now = 1000.0
        assert len(queue.receive(1, wait=0)) == 1

    def test_a_task_that_always_fails_neither_spins_nor_starves_the_others(self) -> None:
        table = MemoryTaskTable()
        table.add(new_task(id="poison", due_at=1.0))
        queue = TableQueue(table)
        [poison] = queue.receive(1, wait=0)
        table.add(new_task(id="good", due_at=2.0))
        assert [delivery.message_id for delivery in queue.receive(1, wait=0)] == ["good"]
        assert queue.receive(1, wait=0) == []
        assert poison.message_id == "poison"

    def test_delivers_at_once_a_task_that_was_deleted_and_is_due_again(self) -> None:
        table = MemoryTaskTable()
        table.add(new_task(due_at=1.0))
        queue = TableQueue(table)
        [delivery] = queue.receive(1, wait=0)
        queue.delete(delivery)
        assert len(queue.receive(1, wait=0)) == 1

    def test_delivers_at_once_the_next_slice_that_a_worker_sends_before_it_deletes(self) -> None:
        table = MemoryTaskTable()
        table.add(new_task(due_at=1.0))
        queue = TableQueue(table)
        [delivery] = queue.receive(1, wait=0)
        queue.send(decode(delivery.body))
        assert len(queue.receive(1, wait=0)) == 1

    def test_shares_the_work_out_among_the_threads_of_a_process(self) -> None:
        table = MemoryTaskTable()
        queue = TableQueue(table)
        for _ in range(200):
            table.add(new_task(due_at=1.0))
        got: Counter[str] = Counter()
        lock = threading.Lock()

        def work() -> None:
            while batch := queue.receive(3, wait=0):
                with lock:
                    got.update(delivery.message_id for delivery in batch)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == Counter(list(table.tasks))

    def test_is_unavailable_when_its_table_is(self) -> None:
        table = MemoryTaskTable()
        table.down = True
        with pytest.raises(QueueUnavailable, match="the table does not answer"):
            TableQueue(table).receive(1, wait=5)

    def test_can_be_sent_to_while_a_receiver_hangs_in_the_table(self) -> None:
        table = CountingTable()
        hanging, go_on = threading.Event(), threading.Event()

        def hang() -> None:
            hanging.set()
            go_on.wait(20)

        table.after_look = hang  # type: ignore[method-assign] # the hook of this fake
        queue = TableQueue(table)
        receiver = threading.Thread(target=queue.receive, args=(1,), kwargs={"wait": 0})
        receiver.start()
        assert hanging.wait(20)
        begin = time.monotonic()
        queue.send(ID)
        assert time.monotonic() - begin < 5
        go_on.set()
        receiver.join()
