"""The AWS of `sam local`: moto with the resources of template.yaml, and a bridge from SQS to the worker."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import ThreadedMotoServer

from tests.support.aws import template
from urlsum.errors import QueueUnavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from urlsum.queues import Delivery, TaskQueue

# moto accepts any credentials; fixed ones keep a developer's real credentials out of the containers.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
WORKER = "HashWorkerFunction"
# Wait of the bridge for a message, before it checks whether to stop, and after an error.
POLL_SECONDS = 1.0

log = logging.getLogger("sam_local")


@dataclass(frozen=True, slots=True)
class LocalAws:
    """A running moto: its ``port`` on every interface, the table's name, and the path of the queue's URL."""

    port: int
    table: str
    queue_path: str


@contextmanager
def moto(port: int) -> Iterator[LocalAws]:
    """Run moto with the template's table, queue and mail identity. Raises OSError if the port is taken."""
    # Every interface: containers connect over a bridge whose address differs from host to host.
    server = ThreadedMotoServer("0.0.0.0", port, verbose=False)  # noqa: S104
    server.start()
    try:
        port = server.get_host_and_port()[1]
        endpoint = f"http://127.0.0.1:{port}"
        template.create_mail_identity(client("sesv2", endpoint))
        # moto imports its Parameter Store at the first request, which takes longer than urlsum waits for AWS.
        client("ssm", endpoint).describe_parameters()
        yield LocalAws(
            port=port,
            table=template.create_table(client("dynamodb", endpoint)),
            queue_path=template.create_queue(client("sqs", endpoint)).removeprefix(endpoint),
        )
    finally:
        server.stop()


def client(service: str, endpoint: str, config: Config | None = None) -> Any:  # noqa: ANN401 (its class depends on the name)
    """Make a boto3 client of ``service`` at ``endpoint``."""
    session = boto3.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
    )
    return session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]


def invoker(port: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return a call of the worker behind `sam local start-lambda` on ``port``: records → its response.

    The call raises WorkerError if the whole invocation fails.
    """
    timeout = template.load()["Resources"][WORKER]["Properties"]["Timeout"]
    # Longer than the function's time-out. No retry: a second invocation would find the lease held.
    config = Config(read_timeout=timeout + 60, retries={"total_max_attempts": 1})
    functions = client("lambda", f"http://127.0.0.1:{port}", config)

    def invoke(records: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            response = functions.invoke(FunctionName=WORKER, Payload=json.dumps({"Records": records}))
            result = json.load(response["Payload"])
        except (BotoCoreError, ClientError, ValueError) as exc:
            raise WorkerError(f"{WORKER}: {exc}") from exc
        if not isinstance(result, dict) or "batchItemFailures" not in result:
            raise WorkerError(f"{WORKER}: {result}")
        return result

    return invoke


class WorkerError(Exception):
    """The worker function's response is not that of a function with ReportBatchItemFailures."""


def bridge(queue: TaskQueue, invoke: Callable[[list[dict[str, Any]]], dict[str, Any]], stop: threading.Event) -> None:
    """Act as Lambda's event source mapping, one message at a time, until ``stop`` is set.

    A message that the worker returned, or failed on, stays queued and is redelivered after its visibility time-out.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    while not stop.is_set():
        try:
            for delivery in queue.receive(1, wait=POLL_SECONDS):
                _deliver(delivery, queue, invoke)
        except (QueueUnavailable, WorkerError) as exc:
            if not stop.is_set():
                log.error("%s", exc)  # noqa: TRY400 (the text says it all)
            stop.wait(POLL_SECONDS)


def record(delivery: Delivery) -> dict[str, Any]:
    """The delivery as Lambda passes it to a function: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""
    return {
        "messageId": delivery.message_id,
        "receiptHandle": delivery.receipt,
        "body": delivery.body,
        "attributes": {},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def _deliver(delivery: Delivery, queue: TaskQueue, invoke: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
    failed = {item["itemIdentifier"] for item in invoke([record(delivery)])["batchItemFailures"]}
    if delivery.message_id not in failed:
        queue.delete(delivery)
