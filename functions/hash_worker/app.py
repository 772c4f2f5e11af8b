"""SQS records → one slice of hashing each → the mail. Records that must come again are reported one by one."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider as Metrics
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from urlsum import queues, settings, wiring
from urlsum.errors import UrlsumError
from urlsum.hashing.job import Bench
from urlsum.task import Mail, Status
from urlsum.work import work

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from urlsum.task import Task
    from urlsum.wiring import Ports

log = logging.getLogger("urlsum.hash_worker")

# Kept free before the runtime's own time-out: for the last checkpoint, the message to the next invocation or the
# result and its mail, each of which is bounded by the time-outs of its client.
MARGIN_SECONDS = 30.0
# How much of a message is logged; one of urlsum's own has 46 characters.
MESSAGE_CHARACTERS = 100


class Context(Protocol):
    """The part of the Lambda context that is used here; the self-hosted worker brings its own."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is ended from outside."""
        ...


def process(event: dict[str, Any], context: Context, *, ports: Callable[[], Ports] = wiring.ports) -> dict[str, Any]:
    """Work through the records of one batch; return those that must be delivered again.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    wired = ports()
    bench = Bench(wired.table, wired.origin, wired.settings, wired.clock, wired.monotonic)
    remaining = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    deadline = wired.monotonic() + min(wired.settings.slice_seconds, remaining)
    metrics = Metrics(namespace="urlsum", service="hash_worker")

    def handle(record: SQSRecord) -> None:
        started = time.monotonic()
        try:
            task = work(queues.decode(record.body), bench, queue=wired.queue, mailer=wired.mailer, deadline=deadline)
        except Exception as exc:
            # The processor turns this into "deliver it again" without a word of its own.
            expected = isinstance(exc, UrlsumError)
            # A task's message is shorter; what else may lie in a queue must not fill the log.
            said = record.body[:MESSAGE_CHARACTERS]
            log.warning("%s: %s: %s", said, type(exc).__name__, exc, exc_info=None if expected else exc)
            raise
        if task is not None:
            log.info("task %s: %s at %d bytes", task.id, task.status, task.offset)
            _measure(metrics, task, time.monotonic() - started)

    # One processor for each call: it keeps the state of its batch, and self-hosted workers run several at once.
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    response = process_partial_response(event=event, record_handler=handle, processor=processor)
    if wired.settings.on_lambda and metrics.metric_set:
        metrics.flush_metrics()
    return dict(response)


def _measure(metrics: Metrics, task: Task, seconds: float) -> None:
    metrics.add_metric(name="SliceSeconds", unit=MetricUnit.Seconds, value=seconds)
    if task.status is Status.DONE:
        metrics.add_metric(name="Done", unit=MetricUnit.Count, value=1)
        metrics.add_metric(name="BytesHashed", unit=MetricUnit.Bytes, value=task.size or 0)
    elif task.status is Status.FAILED:
        metrics.add_metric(name="Failed", unit=MetricUnit.Count, value=1)
    if task.mail is Mail.FAILED:
        metrics.add_metric(name="MailFailed", unit=MetricUnit.Count, value=1)


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.load().on_lambda else process
