"""Write docs/cost.md, what urlsum costs on AWS, from dated prices, measured times and template.yaml: `make cost`.

Every figure of the document follows from the three tables below and from template.yaml; nothing is typed into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scripts.sam_build import ROOT
from tests.support.aws.deployment import deploy
from urlsum.tables.dynamodb import DUE_SHARDS, _attributes, _Item, keeps_index
from urlsum.task import Representation, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCUMENT = ROOT / "docs" / "cost.md"


@dataclass(frozen=True, slots=True)
class Price:
    """``dollars`` for ``units`` of something in us-east-1, on demand, without a free tier."""

    what: str
    dollars: float
    units: float
    page: str

    def of(self, units: float) -> float:
        """Dollars for ``units``."""
        return units * self.dollars / self.units


DATE = "November 2026"
LAMBDA, CLOUDWATCH = "https://aws.amazon.com/lambda/pricing/", "https://aws.amazon.com/cloudwatch/pricing/"
DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
GB_SECOND = Price("Lambda on arm64, GB-second", 13.3334, 1e6, LAMBDA)
INVOCATION = Price("Lambda, invocations", 0.20, 1e6, LAMBDA)
API = Price("HTTP API, requests", 1.00, 1e6, "https://aws.amazon.com/api-gateway/pricing/")
SQS = Price("SQS standard queue, requests", 0.40, 1e6, "https://aws.amazon.com/sqs/pricing/")
WRITE = Price("DynamoDB on demand, write units", 0.625, 1e6, DYNAMODB)
READ = Price("DynamoDB on demand, read units", 0.125, 1e6, DYNAMODB)
LOGS = Price("CloudWatch Logs, GB taken in", 0.50, 1e9, CLOUDWATCH)
ALARM = Price("CloudWatch, metrics of alarms a month", 0.10, 1, CLOUDWATCH)
EMAIL = Price("SES, emails", 0.10, 1e3, "https://aws.amazon.com/ses/pricing/")
PRICES: Sequence[Price] = (GB_SECOND, INVOCATION, API, SQS, WRITE, READ, LOGS, ALARM, EMAIL)
# AWS's Serverless Fixity for Digital Preservation Compliance, for 10 TB, by its own guide.
FIXITY_DOLLARS_PER_TB = 3.004

# Measured on x86_64, in CPU seconds of a whole vCPU, 2026-11-27: the events after the first of the functions in
# bench.cold_start, those of the worker with ten files of 1 KiB each, a file's share. Then 2 GiB of case `https`.
SUBMIT_CPU, CHECK_CPU, SWEEP_CPU, FILE_CPU = 0.0082, 0.0029, 0.0163, 0.0113
BYTES_PER_CPU_SECOND = 2**31 / 4.44
# Assumed: what no bench on one machine can measure. A function's network carries 600 Mbit/s; a request to DynamoDB or
# SQS takes 5 ms; an origin needs half a second for a small file, look-up and handshakes included.
NETWORK_BYTES, CALL_SECONDS, ORIGIN_SECONDS = 75e6, 0.005, 0.5
# Requests to the table by which a batch of ten files of one origin shares that origin's places, where each takes 6 ms:
# the medians of 41 batches as tests/integration/worker/test_batch.py counts them, three times, at a load of 13 to 26.
# (At a load of 33 they were 6 and 7: files that start apart ask apart.)
LEASE_WRITES, LEASE_READS = 4, 6
# Bytes of log, with those that CloudWatch adds to each line. Lambda's lines of an invocation, of the worker and the
# sweeper alone; the gateway's line of a request. Then urlsum's: the line of a submission, of the end of a file, and the
# metrics of a batch. All but Lambda's are measured by tests/unit/bench/test_cost.py.
EACH_LINE = 26
INVOCATION_LOG, REQUEST_LOG = 750, 172 + EACH_LINE
SUBMISSION_LOG, LINE_LOG, BATCH_LOG = 188 + EACH_LINE, 208 + EACH_LINE, 639 + EACH_LINE

MB_OF_ONE_VCPU = 1769
HALF_SPEED = 0.5  # Graviton's MD5 could not be measured
TB, SMALL_FILES, MONTH, DAY = 1e12, 1e6, 30 * 86_400, 86_400
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html: what polls an empty queue.
POLLERS, POLL_SECONDS = 5, 20
WRITE_UNIT = 1024
# Read units of an item up to 4 KB by an eventually consistent read.
EVENTUALLY = 0.5
SECONDS_OF_SWEEPS = 300
SECONDS_OF_CHECKPOINTS = 10
BARS = {"TB": 0.15, "small files": 7.0, "idle": 0.80}


def memory(function: str) -> int:
    """MB of a function in the template."""
    size: int = deploy()[function]["MemorySize"]
    return size


def run(megabytes: float, *, cpu: float, waits: float, runs: float = 1.0) -> float:
    """Dollars of ``runs`` invocations with ``cpu`` seconds of a whole vCPU and ``waits`` seconds of waiting each."""
    share = min(megabytes / MB_OF_ONE_VCPU, 1.0)
    return INVOCATION.of(runs) + GB_SECOND.of(runs * (cpu / share + waits) * megabytes / 1024)


def bytes_per_second(megabytes: float, speed: float = 1.0) -> float:
    """How fast a worker hashes: its share of a CPU, or the network."""
    return min(NETWORK_BYTES, speed * BYTES_PER_CPU_SECOND * megabytes / MB_OF_ONE_VCPU)


def per_tb(megabytes: float, speed: float = 1.0) -> float:
    """Dollars for 1 TB in large files: the workers, and a checkpoint each ten seconds."""
    seconds = TB / bytes_per_second(megabytes, speed)
    slice_seconds = float(deploy()["HashWorkerFunction"]["Environment"]["Variables"]["SLICE_SECONDS"])
    slices = seconds / slice_seconds
    task = example()
    checkpoint = replace(task, due_at=1.0, lease_until=1.0)
    writes = seconds / SECONDS_OF_CHECKPOINTS * writes_of(replace(task, due_at=2.0), checkpoint)
    hand_over = SQS.of(3 * slices) + LOGS.of(slices * (INVOCATION_LOG + LINE_LOG + BATCH_LOG))
    return GB_SECOND.of(seconds * megabytes / 1024) + INVOCATION.of(slices) + WRITE.of(writes) + hand_over


# --- The table: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html


def example() -> Task:
    """A small file's task as submitted, with a URL of usual length."""
    url = "https://data.example.org/archive/2026/run-000123/reads_R1.fastq.gz"
    times = {"created_at": 1.8e9, "updated_at": 1.8e9, "expires_at": 1_802_592_000, "due_at": 1.8e9}
    task_id = "302f6eb1-97b7-41fd-b7d2-3ebc539bb273"
    return Task(id=task_id, url=url, client="203.0.113.7", network="203.0.113.0/24", **times)  # type: ignore[arg-type]


def item_bytes(task: Task) -> int:
    """The size of the item, as DynamoDB counts it."""
    values = {name: value for name, value in _attributes(task).items() if value is not None}
    item = _Item(**values, added_by=bytes(8)).serialize()
    return sum(len(name) + len(str(*value.values())) for name, value in item.items())


def writes_of(before: Task | None, after: Task) -> int:
    """Write units of one change: the item in KB, and the entries of the index that it inserts and deletes."""
    size = max(item_bytes(task) for task in (before, after) if task is not None)
    old = None if before is None else before.due_at
    kept = old == after.due_at or (before is not None and keeps_index(after, over=before))
    index = 0 if kept else (old is not None) + (after.due_at is not None)
    return math.ceil(size / WRITE_UNIT) + index


def batch_size() -> int:
    """The most records that an invocation of the worker gets."""
    size: int = next(iter(deploy().of_type("AWS::Lambda::EventSourceMapping").values()))["BatchSize"]
    return size


def writes_of_a_small_file() -> dict[str, float]:
    """Write units of each step of a task that ends in its first slice, in a full batch of one client and one origin."""
    queued = example()
    # The claim is written together with the result: the file ends within urlsum.worker.lease.LATE_SECONDS.
    running = queued.claimed(1.8e9 + 1, 90.0)
    found = Representation(
        name="reads_R1.fastq.gz", final_url=queued.url, content_type="application/gzip", etag='"5f3e-62a1b2c3d4e5f"'
    )
    done = running.done("0" * 32, 1024, 1.8e9 + 2, representation=found)
    return {
        "submit": writes_of(None, queued),
        "claim and result": writes_of(queued, done),
        "the client's account at submission": 1,
        "the account and the origin's places, for each batch": (1 + LEASE_WRITES) / batch_size(),
    }


def small_files(*, limits: bool = True) -> dict[str, float]:
    """Dollars for a million files of 1 KiB, submitted one by one, without email and without waiting clients.

    ``limits`` says whether the table's part for the limits of clients and origins counts.
    """
    batch = batch_size()
    batches = SMALL_FILES / batch
    worker = run(
        memory("HashWorkerFunction"), cpu=batch * FILE_CPU, waits=ORIGIN_SECONDS + 6 * CALL_SECONDS, runs=batches
    )
    # Eventually consistent reads: the account at submission, and the task for its claim. Consistent ones: the rest.
    reads = 2 * EVENTUALLY + (1 + LEASE_READS) / batch
    lines = REQUEST_LOG + SUBMISSION_LOG + LINE_LOG + (INVOCATION_LOG + BATCH_LOG) / batch
    writes = list(writes_of_a_small_file().values())
    if not limits:
        writes, reads = writes[:2], EVENTUALLY
    return {
        "API": API.of(SMALL_FILES),
        "submit": run(memory("SubmitFunction"), cpu=SUBMIT_CPU, waits=4 * CALL_SECONDS, runs=SMALL_FILES),
        "queue": SQS.of(SMALL_FILES * (1 + 2 / batch)),
        "table": WRITE.of(SMALL_FILES * sum(writes)) + READ.of(SMALL_FILES * reads),
        "workers": worker,
        "logs": LOGS.of(SMALL_FILES * lines),
    }


def checks() -> float:
    """Dollars for a million requests of GET /check."""
    function = run(memory("CheckFunction"), cpu=CHECK_CPU, waits=CALL_SECONDS, runs=1e6)
    return API.of(1e6) + function + READ.of(1e6) + LOGS.of(1e6 * REQUEST_LOG)


def sweeps(seconds: float) -> float:
    """Dollars of the sweeper in so many seconds: a query of each shard of the index each time."""
    runs, queries = seconds / SECONDS_OF_SWEEPS, 2 * DUE_SHARDS
    function = run(memory("SweeperFunction"), cpu=SWEEP_CPU, waits=queries * CALL_SECONDS, runs=runs)
    return function + READ.of(runs * queries * EVENTUALLY) + LOGS.of(runs * (INVOCATION_LOG + LINE_LOG))


def idle() -> dict[str, float]:
    """Dollars a month of a stack that nobody uses."""
    mappings = len(deploy().of_type("AWS::Lambda::EventSourceMapping"))
    return {
        "polling the queues": SQS.of(mappings * POLLERS * MONTH / POLL_SECONDS),
        "sweeps": sweeps(MONTH),
        "alarms": ALARM.of(alarm_metrics()),
    }


def alarm_metrics(**parameters: str) -> int:
    """How many metrics the alarms of the template watch."""
    alarms = deploy(**parameters).of_type("AWS::CloudWatch::Alarm").values()
    return sum(sum("MetricStat" in metric for metric in alarm.get("Metrics", [])) or 1 for alarm in alarms)


def flood() -> dict[str, float]:
    """Dollars a day at the throttle of the API: the most that strangers can spend."""
    [stage] = deploy().of_type("AWS::ApiGatewayV2::Stage").values()
    millions: float = stage["DefaultRouteSettings"]["ThrottlingRateLimit"] * DAY / 1e6
    return {
        "requests of the API alone": API.of(millions * 1e6),
        "requests for /check": millions * checks(),
        "submissions of small files, from clients within their limits": millions * sum(small_files().values()),
    }


# --- The document


def document() -> str:
    """The text of docs/cost.md."""
    worker = memory("HashWorkerFunction")
    tb, small, month = per_tb(worker), small_files(), idle()
    hundred = per_tb(worker) / 10 + (sum(small.values()) + 20 * checks()) / 1e6 + EMAIL.of(1)
    sizes = (512, 768, 1024, MB_OF_ONE_VCPU)
    lines = [
        "# Cost on AWS",
        "",
        "`make cost` writes this page from `bench/cost.py`: prices and measured times stand there, memory, batches and",
        "alarms in `template.yaml`.",
        "",
        f"Dollars in us-east-1, {DATE}, on arm64 and without a free tier. Traffic from origins to a function is free.",
        "",
        "| | dollars | at most | |",
        "|---|---|---|---|",
        _row(f"1 TB in large files (AWS's serverless fixity: {FIXITY_DOLLARS_PER_TB:.2f})", tb, BARS["TB"]),
        _row("a file of 100 GB: submission, 20 checks, hashing, an email", hundred),
        _row("a million files of 1 KiB", sum(small.values()), BARS["small files"]),
        _row("a million requests for `/check`", checks()),
        _row("a month in which nobody comes, without `AlarmEmail`", sum(month.values()), BARS["idle"]),
        "",
        "## Large files and the worker's memory",
        "",
        "A function's share of a vCPU grows with its memory, and so does its price. Its network carries 75 MB/s, so",
        "memory beyond what hashes that much is wasted. `WorkerMemory` chooses it. The columns on the right are for a",
        "processor of half the measured speed, because Graviton's could not be measured.",
        "",
        "| `WorkerMemory` | MB/s | dollars per TB | MB/s at half speed | dollars per TB |",
        "|---|---|---|---|---|",
        *[
            f"| {size} | {bytes_per_second(size) / 1e6:.0f} | {per_tb(size):.3f} "
            f"| {bytes_per_second(size, HALF_SPEED) / 1e6:.0f} | {per_tb(size, HALF_SPEED):.3f} |"
            for size in sizes
        ],
        "",
        "## A million files of 1 KiB",
        "",
        *_table(small),
        "",
        f"Of the table, {sum(writes_of_a_small_file().values()):g} write units a file in full batches: "
        + ", ".join(f"{units:g} for {step}" for step, units in writes_of_a_small_file().items())
        + ".",
        "",
        f"Without the limits of clients and origins it would be {sum(small_files(limits=False).values()):.3f} dollars.",
        "",
        "A file that takes longer than a second, or waits for its worker for longer than half of `LEASE_SECONDS`,",
        "costs a write unit more, because its claim is written before its result: 0.625 dollars per million.",
        "",
        "A change of `due_at` costs two more: the index deletes an entry and inserts another. A claim leaves the index",
        "alone.",
        "",
        "An email adds 0.10 dollars per thousand, more than all the rest.",
        "",
        "## A month in which nobody comes",
        "",
        *_table(month),
        "",
        f"`AlarmEmail` adds {ALARM.of(alarm_metrics(AlarmEmail='a@example.org')) - ALARM.of(alarm_metrics()):.2f}.",
        "",
        "## A day of a flood, at the throttle of the API",
        "",
        *_table(flood(), total=False),
        "",
        "## Prices",
        "",
        "| | dollars | for | |",
        "|---|---|---|---|",
        *[f"| {price.what} | {price.dollars:g} | {price.units:,.0f} | <{price.page}> |" for price in PRICES],
        "",
    ]
    return "\n".join(lines)


def _row(what: str, dollars: float, most: float | None = None) -> str:
    bar = "| | |" if most is None else f"| {most:g} | {'met' if dollars <= most else '**missed**'} |"
    return f"| {what} | {dollars:.3f} {bar}"


def _table(rows: Mapping[str, float], *, total: bool = True) -> list[str]:
    lines = ["| | dollars |", "|---|---|", *[f"| {what} | {dollars:.3f} |" for what, dollars in rows.items()]]
    return [*lines, f"| **all** | **{sum(rows.values()):.3f}** |"] if total else lines


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
