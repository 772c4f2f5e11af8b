"""SQS records → one slice of hashing each → the mail. Records that must come again are reported one by one."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from urlsum import queues, settings, wiring
from urlsum.errors import UrlsumError
from urlsum.worker import delivery
from urlsum.worker.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from urlsum.wiring import Services
    from urlsum.worker.delivery import Context

log = logging.getLogger("urlsum.hash_worker")

# Kept free before the runtime's own time-out: for the last checkpoint, the message to the next invocation or the
# result and its mail, each of which is bounded by the time-outs of its client.
MARGIN_SECONDS = 30.0
# How much of a message is logged; one of urlsum's own has 46 characters.
MESSAGE_CHARACTERS = 100
# What a file in company gets. More than CONNECT_TIMEOUT + READ_TIMEOUT, so that a silent origin is found out here too,
# and long enough for some gigabytes in company.
BATCHED_SECONDS = 60.0


def process(
    event: dict[str, Any], context: Context, *, services: Callable[[], Services] = wiring.services
) -> dict[str, Any]:
    """Work on the records of one batch, all at the same time; return those that must be delivered again.

    A batch of small files is done in a moment. Of large ones only the first has the whole slice: the others are put
    down after BATCHED_SECONDS, and sent on to where they need not share one core.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    wired = services()
    remaining = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    started = wired.monotonic()
    deadline = started + min(wired.settings.slice_seconds, remaining)
    shared = min(deadline, started + BATCHED_SECONDS)
    metrics = Metrics("hash_worker", enabled=wired.settings.on_lambda)

    first = event["Records"][0]["messageId"]

    def handle(record: SQSRecord) -> None:
        until = deadline if record.message_id == first else shared
        try:
            task = delivery.handle(queues.decode(record.body), wired, deadline=until)
        except Exception as exc:
            # The processor turns this into "deliver it again" without a word of its own.
            expected = isinstance(exc, UrlsumError)
            # A task's message is shorter; what else may lie in a queue must not fill the log.
            said = record.body[:MESSAGE_CHARACTERS]
            log.warning("%s: %s: %s", said, type(exc).__name__, exc, exc_info=None if expected else exc)
            raise
        if task is not None:
            log.info("task %s: %s at %d bytes", task.id, task.status, task.offset)
            metrics.count_slice(task, wired.monotonic() - started)

    # One processor for each call: it keeps the state of its batch, and self-hosted workers run several at once.
    processor = _Concurrent(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    response = process_partial_response(event=event, record_handler=handle, processor=processor)
    metrics.flush()
    return dict(response)


class _Concurrent(BatchProcessor):
    """Works on all records of a batch at the same time; the library's own does so for coroutines only."""

    def process(self) -> list[Any]:
        if len(self.records) == 1:
            return super().process()
        with ThreadPoolExecutor(len(self.records), thread_name_prefix="record") as pool:
            return list(pool.map(self._process_record, self.records))


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.load().on_lambda else process
