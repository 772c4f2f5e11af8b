"""A schedule → one sweep: stranded tasks are queued again, exhausted ones fail, expired ones are deleted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from urlsum import settings, wiring
from urlsum.deadline import Deadline
from urlsum.worker.metrics import Metrics
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from urlsum.wiring import Services

# Kept free before the runtime's own time-out: the longest that one task can take, which is two requests to a table and
# one to a queue that are silent, with all retries (24 + 24 + 20 s).
MARGIN_SECONDS = 70.0


def process(
    _event: dict[str, Any], context: LambdaContext, *, services: Callable[[], Services] = wiring.services
) -> dict[str, int]:
    """Sweep once and return what was done. Raises Unavailable when the table or the queue does not answer."""
    deps = services()
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    deadline = Deadline.after(seconds, clock=deps.monotonic)
    swept = sweep(
        deps.table,
        deps.queue,
        now=deps.clock(),
        settings=deps.settings,
        stop=lambda: deadline.expired,
    )
    metrics = Metrics("sweeper")
    metrics.count_sweep(swept)
    metrics.flush()
    return asdict(swept)


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.on_lambda() else process
