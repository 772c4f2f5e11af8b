"""Formats the figures as Markdown and inserts them into bench/README.md."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from bench.workspace import Case, Row

MARKS = {None: "", True: "met", False: "**missed**"}
VERSION_COMMANDS = {
    "nginx": ["nginx", "-v"],
    "curl": ["curl", "--version"],
    "rclone": ["rclone", "version"],
    "aria2": ["aria2c", "--version"],
    "md5sum": ["md5sum", "--version"],
}


def section(case: Case, rows: Sequence[Row], day: date, load: float) -> str:
    """The section of one case: a table of median, minimum and maximum; ``load`` is the load average before it."""
    lines = [
        f"### {case.title} (`{case.key}`)",
        "",
        case.setting,
        "",
        f"| {day}, {processor()}, {case.rounds} rounds, load {load:.1f} before | median (min … max) | must reach | |",
        "|---|---|---|---|",
        *(
            f"| {row.what.replace('|', chr(92) + '|')} | {row.figure} | {row.bound} | {MARKS[row.met]} |"
            for row in rows
        ),
        "",
        f"What limits it: {case.limit}",
        "",
    ]
    return "\n".join(lines)


def machine() -> str:
    """A paragraph with the machine and the versions."""
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {_version(command)}" for name, command in VERSION_COMMANDS.items()]
    return (
        f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()} "
        f"({platform.machine()}), loopback with {congestion}; urlsum {__version__}, "
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}; {', '.join(versions)}.\n"
    )


def written(readme: str, machine_line: str, key: str, text: str) -> str:
    """``readme`` with the new section of one case and the new paragraph on the machine."""
    return _between(_between(readme, "machine", machine_line), key, text)


def _between(readme: str, name: str, text: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(readme):
        raise SystemExit(f"bench/README.md has no place for {name}")
    return pattern.sub(lambda _: f"{begin}\n{text}{end}", readme)


def processor() -> str:
    """The kernel's name of the processor. Every table has it, because cases may be measured on different machines."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _version(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return "absent"
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?\S*", result.stdout + result.stderr)
    return match[0] if match else "unknown"
