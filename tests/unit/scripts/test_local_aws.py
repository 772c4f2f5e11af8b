"""The bridge between the local queue and the worker function."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from scripts.local_aws import WorkerError, bridge, record
from tests.support.aws.fake_lambda import DOCUMENTED
from urlsum.queues import Delivery, Held, Order, Waiting, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest


class ListQueue:
    """Gives what it was made with, once, and remembers what was deleted."""

    reads_table = False

    def __init__(self, deliveries: list[Delivery], stop: threading.Event) -> None:
        self._deliveries = deliveries
        self._stop = stop
        self.deleted: list[str] = []

    def send(self, task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        raise AssertionError("the bridge sends nothing")

    def receive(self, limit: int, *, wait: float, order: Order = Order.FIRST) -> Sequence[Delivery]:
        if not self._deliveries:
            self._stop.set()
            return []
        return [self._deliveries.pop(0) for _ in range(min(limit, len(self._deliveries)))]

    def count_waiting(self, patience: float) -> Waiting:
        raise AssertionError("the bridge counts nothing")

    def check_send(self) -> None:
        pass

    def held(self) -> Held:
        raise AssertionError("the bridge sweeps nothing")

    def delete(self, delivery: Delivery) -> None:
        self.deleted.append(delivery.message_id)


def run(invoke: Callable[[list[dict[str, Any]]], dict[str, Any]], ids: Sequence[str]) -> list[str]:
    """Run the bridge over messages with these ids; return those that it deleted."""
    stop = threading.Event()
    queue = ListQueue([Delivery(i, f"receipt-{i}", encode(f"task-{i}")) for i in ids], stop)
    bridge(queue, invoke, stop)
    return queue.deleted


def test_records_are_lambdas_in_shape() -> None:
    local = record(Delivery(message_id="m", receipt="r", body=encode("x")))
    assert local.keys() <= DOCUMENTED.keys()
    for name, value in local.items():
        assert type(value) is type(DOCUMENTED[name])
    assert local["eventSource"] == DOCUMENTED["eventSource"]


def test_a_message_is_handed_over_as_lambda_does_and_then_deleted() -> None:
    seen = []

    def worker(records: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append([(record["messageId"], decode(record["body"]), record["eventSource"]) for record in records])
        return {"batchItemFailures": []}

    assert run(worker, ["a", "b"]) == ["a", "b"]
    assert seen == [[("a", "task-a", "aws:sqs")], [("b", "task-b", "aws:sqs")]]


def test_a_message_that_the_worker_gives_back_stays() -> None:
    def worker(records: list[dict[str, Any]]) -> dict[str, Any]:
        failed = [record["messageId"] for record in records if record["messageId"] == "a"]
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}

    assert run(worker, ["a", "b"]) == ["b"]


def test_a_worker_that_crashes_costs_no_message_and_does_not_end_the_bridge(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scripts.local_aws.POLL_SECONDS", 0.0)

    def worker(records: list[dict[str, Any]]) -> dict[str, Any]:
        if records[0]["messageId"] == "a":
            raise WorkerError("out of memory")
        return {"batchItemFailures": []}

    assert run(worker, ["a", "b"]) == ["b"]
    assert "out of memory" in caplog.text
