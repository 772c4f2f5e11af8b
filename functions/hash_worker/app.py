"""SQS records → one slice of hashing each → the email. Records that must come again are reported one by one.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

from urlsum import init_phase

init_phase.begin()

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from urlsum import cloudwatch, md5, queues, settings, wiring
from urlsum.deadline import Deadline
from urlsum.errors import QueueUnavailable
from urlsum.limits.accounts import Settlements
from urlsum.worker import delivery
from urlsum.worker.lease import LATE_SECONDS, LateClaims
from urlsum.worker.metrics import WorkMetrics
from urlsum.worker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.cloudwatch import Context
    from urlsum.queues import TaskQueue
    from urlsum.task import Task
    from urlsum.wiring import Services

# Kept free before the runtime's own time-out: for the last checkpoint, the message to the next invocation or the
# result and its email, each of which is bounded by the time-outs of its client.
MARGIN_SECONDS = 30.0
# How long several records of a batch are worked on at the same time: more than CONNECT_TIMEOUT + READ_TIMEOUT, so that
# a silent origin still times out as such, and long enough for some gigabytes.
BATCHED_SECONDS = 60.0
# The interval of looks at what waits: a request each, and SQS counts what waits no more exactly than that.
LOOK_SECONDS = 10.0


def process(
    event: dict[str, Any], context: Context, *, services: Callable[[], Services] = wiring.services
) -> dict[str, Any]:
    """Work on the records of one batch, all at the same time; return those that must be delivered again.

    A batch of small files takes a moment. Of the files that are still being read after BATCHED_SECONDS only the first
    has the whole slice: the others go back to the queue, so that an invocation of their own, with a core of its own,
    takes them.

    Where continuations have a queue, and so workers, of their own, a first slice has a turn of HAND_OVER_SECONDS, and a
    continuation hands over after less than half of BATCHED_SECONDS if others wait.

    A file that ends within LATE_SECONDS of the first delivery of its message is claimed together with its result. If
    this process is killed before, SQS delivers the message again, and then the claim comes first: a file that kills
    its worker counts its attempts, but for the first.
    """
    deps = services()
    began, started = deps.clock(), deps.monotonic()
    remaining = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    deadline = Deadline.after(min(deps.settings.slice_seconds, remaining), clock=deps.monotonic)
    metrics = WorkMetrics(deps.settings.stack_name)

    def count(task: Task) -> None:
        metrics.count_slice(task, seconds=deps.monotonic() - started, began=began)

    turns = Turns(BATCHED_SECONDS, deps.monotonic)

    def handled(number: int, record: dict[str, Any]) -> bool:
        body = record["body"]
        turn = turns.begin(continued=queues.is_continuation(body))
        if deps.settings.continuations_queue_url and not turn.continued:
            turn.ends_at = turn.began + deps.settings.hand_over_seconds
        try:
            with cloudwatch.about(_task_of(body)):
                return delivery.handle_message(
                    body,
                    deps,
                    deadline=batch.deadline(number),
                    turn=turn,
                    after_slice=count,
                    settle=ended.add,
                    late=claims if _is_first(record) else None,
                )
        finally:
            turns.end(turn)
            batch.end(number)

    records = event["Records"]
    batch = _Batch(deadline, len(records))
    ended = Settlements(deps.records, clock=deps.clock, ttl_days=deps.settings.task_ttl_days)
    claims = LateClaims()
    with (
        _watched(turns, deps.queue, ended, claims),
        ThreadPoolExecutor(len(records), thread_name_prefix="record") as pool,
    ):
        results = list(pool.map(handled, range(len(records)), records))
    ended.settle()
    metrics.count_engine()
    metrics.flush(engine=md5.engine)
    # Between two invocations nothing runs here that could renew a lease.
    deps.rest()
    failures = [record["messageId"] for record, result in zip(records, results, strict=True) if not result]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


class _Batch:
    """The records of an invocation that ends at ``deadline``. After BATCHED_SECONDS one of them goes on alone."""

    def __init__(self, deadline: Deadline, count: int) -> None:
        self._deadline = deadline
        self._together = deadline.within(BATCHED_SECONDS)
        self._running = set(range(count))
        self._alone: int | None = None
        self._lock = threading.Lock()

    def deadline(self, number: int) -> Deadline:
        """When the record with this ``number`` must stop."""
        return Deadline(self._deadline.at, self._deadline.clock, lambda: self._must_stop(number))

    def end(self, number: int) -> None:
        """Note that the record needs no more time."""
        with self._lock:
            self._running.discard(number)

    def _must_stop(self, number: int) -> bool:
        if not self._together.expired:
            return False
        with self._lock:
            if self._alone is None:
                self._alone = min(self._running)
            return number != self._alone


@contextmanager
def _watched(turns: Turns, queue: TaskQueue, ended: Settlements, claims: LateClaims) -> Iterator[None]:
    """Claim what lasts, end turns because others wait, and settle what has ended, as long as the block runs."""
    over = threading.Event()

    def watch() -> None:
        step, waited = min(LATE_SECONDS, LOOK_SECONDS), 0.0
        while not over.wait(step):
            claims.write()
            waited += step
            if waited < LOOK_SECONDS:
                continue
            waited = 0.0
            with suppress(QueueUnavailable):  # then every slice lasts as long as it may
                turns.look(queue)
            ended.settle()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _is_first(record: dict[str, Any]) -> bool:
    """Whether SQS delivers the message of ``record`` for the first time."""
    return bool(record.get("attributes", {}).get("ApproximateReceiveCount") == "1")


def _task_of(body: str) -> str | None:
    with suppress(ValueError):  # what nobody sent; delivery logs it
        return queues.decode(body)
    return None


handler = cloudwatch.logged(process, "hash_worker" if settings.on_lambda() else None)

if settings.on_lambda():  # in the init phase, see wiring.wire
    wiring.prepare()

init_phase.end()
