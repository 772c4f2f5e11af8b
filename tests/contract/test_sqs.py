"""What SQS answers, and what the queue makes of that."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.aws.aws_endpoint import HANG_UP, Answer, AwsEndpoint, aws_endpoint, error
from urlsum.errors import QueueUnavailable
from urlsum.queues import Delivery, encode, sqs
from urlsum.queues.sqs import SqsQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ids of no table need not exist.
ID = "0e4fac17-f367-4807-8c28-8a059a2f82ac"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEndpoint]:
    monkeypatch.setattr(sqs, "ANSWER_SECONDS", 0.3)
    with aws_endpoint() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.fixture
def scripted(endpoint: AwsEndpoint) -> SqsQueue:
    return SqsQueue(f"{endpoint.url}/123456789012/tasks")


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [(0, 0), (-5, 0), (0.001, 1), (1, 1), (1.2, 2), (899.5, 900), (900, 900), (901, 900), (float("inf"), 900)],
)
def test_rounds_a_delay_up_and_waits_at_most_fifteen_minutes(
    scripted: SqsQueue, endpoint: AwsEndpoint, delay: float, seconds: int
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
    scripted: SqsQueue, endpoint: AwsEndpoint, limit: int, wait: float, asked: tuple[int, int]
) -> None:
    scripted.receive(limit, wait=wait)
    [request] = endpoint.requests
    assert (request["MaxNumberOfMessages"], request["WaitTimeSeconds"]) == asked


def test_does_not_cut_its_own_long_poll(scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
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
    [
        lambda queue: queue.send(ID),
        lambda queue: queue.delete(Delivery("1", "receipt", encode(ID))),
        lambda queue: queue.held(),
    ],
    ids=["send", "delete", "held"],
)
def test_is_unavailable_after_as_many_tries_as_make_sense(
    scripted: SqsQueue, endpoint: AwsEndpoint, fault: Answer, tries: int, call: Callable[[SqsQueue], None]
) -> None:
    endpoint.script(fault)
    with pytest.raises(QueueUnavailable, match=r"^SQS: ") as caught:
        call(scripted)
    assert caught.value.__cause__ is not None
    assert len(endpoint.requests) == tries


def test_is_unavailable_to_receivers_too(scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
    endpoint.script(error(400, "OverLimit"))
    with pytest.raises(QueueUnavailable):
        scripted.receive(1, wait=0)


def test_gets_over_one_bad_answer(scripted: SqsQueue, endpoint: AwsEndpoint) -> None:
    endpoint.script(error(503, "ServiceUnavailable"), Answer(body={"MessageId": "1"}))
    scripted.send(ID)
    assert len(endpoint.requests) == 2


def test_is_unavailable_where_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(QueueUnavailable):
        SqsQueue(f"http://127.0.0.1:{port}/1/tasks").send(ID)


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"])
def test_is_unavailable_without_credentials_or_region(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.delenv(missing)
    queue = SqsQueue("https://sqs.eu-central-1.amazonaws.com/1/tasks")  # as cheap as promised: it asks nobody
    with pytest.raises(QueueUnavailable):
        queue.send(ID)


def test_answers_before_api_gateway_gives_up() -> None:
    # botocore's standard mode pauses at most 1 s and then 2 s between three tries.
    assert sqs.TRIES == 3
    assert sqs.TRIES * (sqs.CONNECT_SECONDS + sqs.ANSWER_SECONDS) + 1 + 2 < 29
