"""A schedule → one sweep of what crashes and lost messages left lying."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from urlsum import settings, wiring
from urlsum.worker.metrics import Metrics
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.wiring import Services
    from urlsum.worker.delivery import Context

log = logging.getLogger("urlsum.sweeper")

# Kept free before the runtime's own time-out: what one task can take at the worst, which is two requests to a table and
# one to a queue that are silent, with all retries (24 + 24 + 20 s).
MARGIN_SECONDS = 70.0


def process(
    _event: dict[str, Any], context: Context, *, services: Callable[[], Services] = wiring.services
) -> dict[str, int]:
    """Sweep once and return what was done. Raises Unavailable when the table or the queue does not answer."""
    wired = services()
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
    metrics = Metrics("sweeper", enabled=wired.settings.on_lambda)
    metrics.count_sweep(swept)
    metrics.flush()
    return asdict(swept)


# The library logs to children of the logger "urlsum"; on Lambda they come out as JSON lines with the request's id.
handler = Logger(service="urlsum").inject_lambda_context(process) if settings.load().on_lambda else process
