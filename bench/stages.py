"""The hash stage alone, and the cost of checkpoints."""

from __future__ import annotations

import subprocess

from bench import md5 as md5_bench
from bench.files import MIB
from bench.measure import Run, Spread, ratios, say
from bench.origin_nginx import Nginx
from bench.workspace import NETWORKS, PYTHON, ROOT, Case, Row, Workspace
from urlsum import md5


def hash_stage(workspace: Workspace) -> list[Row]:
    """Measure updates of 1 MiB, the size that the streaming loop uses."""
    round_ratios, rate = md5_bench.compare(md5.MD5, MIB, 4 * md5_bench.SAMPLE_BYTES, workspace.rounds)
    spread = Spread(round_ratios)
    return [
        Row(f"{md5.engine}, 1 MiB updates", f"{rate:.0f} MB/s"),
        Row("speed, MD5 / hashlib.md5", spread.text(4), "≥ 0.98", spread.median >= 0.98),  # noqa: PLR2004 - the bound beside it
    ]


def checkpoints(workspace: Workspace) -> list[Row]:
    """Compare one slice without checkpoints with two slices, a checkpoint every 5 s and a resume, on SQLite."""
    sample = workspace.long
    results: dict[str, list[Run]] = {"none": [], "every 5 s": []}
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        url = nginx.url(sample.name)
        for number in range(-1, workspace.rounds):
            for name in ("none", "every 5 s") if number % 2 == 0 else ("every 5 s", "none"):
                command = [PYTHON, "-m", "bench.slices", str(workspace.folder), url, sample.md5]
                command += [str(sample.size)] if name == "every 5 s" else []
                environment = {"ALLOWED_NETWORKS": NETWORKS, "PATH": ""}
                process = subprocess.run(
                    command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
                )
                if process.returncode:
                    raise SystemExit(process.stderr)
                wall, cpu, count = map(float, process.stdout.split())
                say(f"  {name:12} {wall:8.2f} s wall, {count:.0f} checkpoints")
                if number >= 0:
                    results[name].append(Run(wall, cpu, int(count)))
    spread = ratios(results["every 5 s"], results["none"], "wall")
    written = Spread([run.peak for run in results["every 5 s"]])
    return [
        Row("no checkpoint", f"{Spread([run.wall for run in results['none']]).text(2)} s wall"),
        Row(
            "checkpoint every 5 s and a resume",
            f"{Spread([run.wall for run in results['every 5 s']]).text(2)} s wall, {written.text(0)} checkpoints",
        ),
        Row("wall, with / without", spread.text(4), "≤ 1.01", spread.median <= 1.01),  # noqa: PLR2004 - the bound beside it
    ]


CASES = [
    Case(
        "md5",
        "The hash stage",
        "The resumable MD5 and hashlib.md5 on the same 1 MiB buffer, in turns.",
        "libcrypto's MD5 in both; beside it a call through ctypes, 1 to 3 µs per MiB of 1.4 ms.",
        [],
        15,
        hash_stage,
    ),
    Case(
        "checkpoint",
        "Checkpoints and a resume",
        "12 GiB from nginx over HTTP through the worker's slices on SQLite (the bytes are zeros: MD5 takes as long for "
        "any); with: a checkpoint every 5 s, and at half the file a deadline, after which another slice resumes.",
        "A checkpoint is one write to the table; a resume is a new connection and 64 KiB read again.",
        ["nginx"],
        5,
        checkpoints,
    ),
]
