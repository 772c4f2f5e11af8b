"""What the measurement finds in the logs, and the table that it prints."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scripts.smoke_aws.account import client, pause

if TYPE_CHECKING:
    from collections.abc import Mapping

# CloudWatch shows a line within some seconds.
LOG_SECONDS = 60.0
GROUPS = {
    "SubmitLogs": "submit",
    "CheckLogs": "check",
    "HashWorkerLogs": "worker",
    "SweeperLogs": "sweeper",
}


@dataclass
class Findings:
    """What was measured. ``reports`` has the metrics of each invocation, by function."""

    bytes: int = 0
    bytes_per_second: float | None = None
    engine: str | None = None
    email_seconds: float | None = None
    cancelled: str = ""
    reports: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)


def read_logs(names: Mapping[str, str], since: float, found: Findings) -> None:
    """Add what Lambda and the functions have logged since then; wait until it is there."""
    deadline = time.monotonic() + LOG_SECONDS
    while True:
        for group, function in GROUPS.items():
            lines = _lines(names[group], since)
            found.reports[function] = [
                line["record"]["metrics"] for line in lines if line.get("type") == "platform.report"
            ]
            for line in lines:
                found.engine = line.get("engine", found.engine)
                # Of the file, not of the small slice of the task that was cancelled.
                if found.bytes in line.get("BytesHashed", ()):
                    found.bytes_per_second = max(line["BytesPerSecond"])
        complete = found.bytes_per_second is not None and all(
            found.reports[name] for name in ("submit", "check", "worker")
        )
        if complete or time.monotonic() > deadline:
            return
        pause()


def _lines(group: str, since: float) -> list[dict[str, Any]]:
    pages = (
        client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=round(since * 1000))
    )
    texts = [event["message"] for page in pages for event in page["events"]]
    # Whatever a library prints is no JSON.
    return [json.loads(text) for text in texts if text.startswith("{")]


def table(found: Findings, region: str, day: str) -> str:
    """The findings as Markdown."""
    rate = "unknown" if found.bytes_per_second is None else _rate(found.bytes_per_second)
    lines = [
        f"Measured in {region}, {day}: {found.bytes / 2**30:g} GiB out of S3.",
        "",
        "| | |",
        "|---|---|",
        f"| rate of one worker | {rate} |",
        f"| MD5 engine | {found.engine or 'unknown'} |",
        f"| from submission to email | {found.email_seconds or 0:.0f} s |",
        f"| a task that was cancelled | while it was {found.cancelled} |",
        "",
        "| function | invocations | init, ms | longest, ms | memory, MB | of |",
        "|---|---|---|---|---|---|",
    ]
    for function, reports in found.reports.items():
        if not reports:
            continue
        starts = [report["initDurationMs"] for report in reports if "initDurationMs" in report]
        lines.append(
            f"| {function} | {len(reports)} | {' '.join(f'{start:.0f}' for start in starts) or '-'} "
            f"| {max(report['durationMs'] for report in reports):.0f} "
            f"| {max(report['maxMemoryUsedMB'] for report in reports):.0f} | {reports[0]['memorySizeMB']:.0f} |"
        )
    return "\n".join(lines)


def _rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e6:.1f} MB/s, {bytes_per_second * 8 / 1e6:.0f} Mbit/s"
