"""A schedule → one sweep of what crashes and lost messages left lying."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider as Metrics

from urlsum import settings, wiring
from urlsum.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.sweep import Swept
    from urlsum.wiring import Ports

log = logging.getLogger("urlsum.sweeper")

# Kept free before the runtime's own time-out: what one task can take at the worst, which is two requests to a table and
# one to a queue that are silent, with all retries (24 + 24 + 20 s).
MARGIN_SECONDS = 70.0


class Context(Protocol):
    """The part of the Lambda context that is used here; the self-hosted worker brings its own."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is ended from outside."""
        ...


def process(_event: dict[str, Any], context: Context, *, ports: Callable[[], Ports] = wiring.ports) -> dict[str, int]:
    """Sweep once and return what was done. Raises Unavailable when the table or the queue does not answer."""
    wired = ports()
    end = wired.monotonic() + context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    swept = sweep(
        wired.table,
        wired.queue,
        now=wired.clock(),
        settings=wired.settings,
        stop=lambda: wired.monotonic() >= end,
    )
    if any(asdict(swept).values()):
        log.info("%d sent again, %d given up, %d deleted", swept.resent, swept.failed, swept.purged)
    if wired.settings.on_lambda:
        _measure(swept)
    return asdict(swept)


def _measure(swept: Swept) -> None:
    metrics = Metrics(namespace="urlsum", service="sweeper")
    # Only a sweep that came to its end counts as one: an alarm waits for this number to stay away.
    metrics.add_metric(name="Sweeps", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="Resent", unit=MetricUnit.Count, value=swept.resent)
    metrics.add_metric(name="GivenUp", unit=MetricUnit.Count, value=swept.failed)
    metrics.flush_metrics()


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.load().on_lambda else process
