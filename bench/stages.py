"""The hash stage by itself, and what checkpoints cost."""

from __future__ import annotations

import subprocess

from bench import md5 as md5_bench
from bench.files import MIB
from bench.measure import Run, Spread, ratios, say
from bench.origin_nginx import Nginx
from bench.world import NETWORKS, PYTHON, ROOT, Case, Row, World
from urlsum import md5


def hash_stage(world: World) -> list[Row]:
    """Updates of 1 MiB, as the streaming loop makes them."""
    found, rate = md5_bench.compare(md5.MD5, MIB, 4 * md5_bench.SAMPLE_BYTES, world.rounds)
    spread = Spread(found)
    return [
        Row(f"{md5.engine}, 1 MiB updates", f"{rate:.0f} MB/s"),
        Row("speed, MD5 / hashlib.md5", spread.text(4), "≥ 0.98", spread.median >= 0.98),  # noqa: PLR2004 - the bound beside it
    ]


def checkpoints(world: World) -> list[Row]:
    """The worker's slices over SQLite: one without any checkpoint, and two with one every 5 s and a resume between."""
    sample = world.long
    results: dict[str, list[Run]] = {"none": [], "every 5 s": []}
    with Nginx(world.folder / "nginx", world.files) as nginx:
        url = nginx.url(sample.name)
        for number in range(-1, world.rounds):
            for name in ("none", "every 5 s") if number % 2 == 0 else ("every 5 s", "none"):
                command = [PYTHON, "-m", "bench.slices", str(world.folder), url, sample.md5]
                command += [str(sample.size)] if name == "every 5 s" else []
                environment = {"ALLOWED_NETWORKS": NETWORKS, "PATH": ""}
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                wall, cpu, count = map(float, done.stdout.split())
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
        "any); with: a checkpoint every 5 s, and at half the file a deadline, after which another slice goes on.",
        "A checkpoint is one write to the table; a resume is a new connection and 64 KiB read again.",
        ["nginx"],
        5,
        checkpoints,
    ),
]
