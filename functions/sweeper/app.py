"""A schedule → one sweep: stranded tasks are queued again, exhausted ones fail, expired ones are deleted."""

from __future__ import annotations

from urlsum import init_phase

init_phase.begin()

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from urlsum import cloudwatch, settings, wiring
from urlsum.deadline import Deadline
from urlsum.worker.metrics import WorkMetrics
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.cloudwatch import Context
    from urlsum.wiring import Services

# Kept free before the runtime's own time-out: the longest that one task can take, which is two requests to a table and
# one to a queue that are silent, with all retries (24 + 24 + 20 s). The row of a message that could not be sent may
# then not be put back in time; but the next run comes after more than a lease, and finds it as it is.
MARGIN_SECONDS = 70.0


def process(
    _event: dict[str, Any], context: Context, *, services: Callable[[], Services] = wiring.services
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
        limiter=deps.limiter,
        stop=lambda: deadline.expired,
    )
    metrics = WorkMetrics(deps.settings.stack_name)
    metrics.count_sweep(swept)
    metrics.flush()
    return asdict(swept)


handler = cloudwatch.logged(process, "sweeper" if settings.on_lambda() else None)

if settings.on_lambda():  # in the init phase, see wiring.wire
    wiring.services()

init_phase.end()
