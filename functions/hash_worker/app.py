"""SQS records → one slice of hashing each → the email. Records that must come again are reported one by one.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from urlsum import settings, wiring
from urlsum.deadline import Deadline
from urlsum.worker import delivery
from urlsum.worker.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from urlsum.task import Task
    from urlsum.wiring import Services

# Kept free before the runtime's own time-out: for the last checkpoint, the message to the next invocation or the
# result and its email, each of which is bounded by the time-outs of its client.
MARGIN_SECONDS = 30.0
# Time budget of every record after the first of a batch: more than CONNECT_TIMEOUT + READ_TIMEOUT, so that a silent
# origin still times out as such, and long enough for some gigabytes.
BATCHED_SECONDS = 60.0


def process(
    event: dict[str, Any], context: LambdaContext, *, services: Callable[[], Services] = wiring.services
) -> dict[str, Any]:
    """Work on the records of one batch, all at the same time; return those that must be delivered again.

    A batch of small files takes a moment. Of large files only the first has the whole slice: the others stop after
    BATCHED_SECONDS and go back to the queue, so that an invocation of their own, with a core of its own, takes them.
    """
    deps = services()
    started = deps.monotonic()
    remaining = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    deadline = Deadline.after(min(deps.settings.slice_seconds, remaining), clock=deps.monotonic)
    batched = deadline.within(BATCHED_SECONDS)
    metrics = Metrics("hash_worker")

    def count(task: Task) -> None:
        metrics.count_slice(task, deps.monotonic() - started)

    def handled(body: str, until: Deadline) -> bool:
        return delivery.handle_message(body, deps, deadline=until, after_slice=count)

    records = event["Records"]
    bodies = [record["body"] for record in records]
    deadlines = [deadline, *[batched] * (len(records) - 1)]
    with ThreadPoolExecutor(len(records), thread_name_prefix="record") as pool:
        results = list(pool.map(handled, bodies, deadlines))
    metrics.flush()
    failures = [record["messageId"] for record, result in zip(records, results, strict=True) if not result]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.on_lambda() else process
