"""Ten thousand files of 1 KiB, to measure the cost per file instead of per byte."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
import uuid
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from bench.files import Sample, small_files
from bench.measure import Command as Peer
from bench.measure import Run, interleaved, say
from bench.origin_nginx import Nginx
from bench.workspace import NETWORKS, PYTHON, ROOT, Case, Row, Workspace, absolute, against
from selfhost.migrate import upgrade
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COUNT = 10_000
SIZE = 1024
LOOK_SECONDS = 0.1
LIMIT_SECONDS = 1800
PEER = "xargs -P4 sh -c 'curl | md5sum'"


def small(workspace: Workspace) -> list[Row]:
    """Compare a real worker process, with table and queue in SQLite, with four parallel shell pipelines."""
    say(f"making {COUNT} files …")
    samples = small_files(workspace.files, COUNT, SIZE)
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        urls = {nginx.url(sample.name): sample for sample in samples}
        listed, out = workspace.folder / "urls", workspace.folder / "digests"
        listed.write_text("\n".join(urls) + "\n")
        line = f"""xargs -P4 -n1 sh -c 'curl -s "$0" | md5sum' < {listed} > {out} && echo done"""
        results: dict[str, list[Run]] = {PEER: [], "worker": []}
        for number in range(workspace.rounds):
            # The order alternates, as in the other cases.
            for name in (PEER, "worker") if number % 2 == 0 else ("worker", PEER):
                if name == PEER:
                    results[PEER] += interleaved([Peer(PEER, line, "done")], 1, warm=False)[PEER]
                    _verify(Counter(each.split()[0] for each in out.read_text().splitlines()), samples)
                else:
                    results["worker"].append(_worker(workspace.folder, urls, number))
    return [*absolute(results), against(results, PEER, "wall", 0.2, ours="worker")]


def _worker(folder: Path, urls: dict[str, Sample], number: int) -> Run:
    """Submit all URLs, then start one worker and wait until no task is pending."""
    database = folder / f"small-{number}.db"
    _submit(f"sqlite:///{database}", list(urls))
    environment = dict(os.environ) | {
        "DATABASE_URI": f"sqlite:///{database}",
        "ALLOWED_NETWORKS": NETWORKS,
        "OUTBOX_DIR": str(folder / "outbox"),
    }
    begun = time.perf_counter()
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([PYTHON, "-m", "selfhost.worker"], cwd=ROOT, env=environment, stderr=log)
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as tasks:
            while tasks.execute("SELECT 1 FROM tasks WHERE due_at IS NOT NULL LIMIT 1").fetchone():
                if process.poll() is not None or time.perf_counter() - begun > LIMIT_SECONDS:
                    raise SystemExit(f"the worker did not do it: {(folder / 'worker.log').read_text()[-2000:]}")
                time.sleep(LOOK_SECONDS)
            wall = time.perf_counter() - begun
            results = tasks.execute("SELECT url, md5 FROM tasks").fetchall()
    finally:
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if any(urls[url].md5 != md5 for url, md5 in results):
        raise SystemExit("the worker's digests are wrong")
    _verify(Counter(md5 for _, md5 in results), list(urls.values()))
    say(f"  worker {wall:8.2f} s wall")
    return Run(wall, usage.ru_utime + usage.ru_stime, 0)


def _submit(uri: str, urls: Sequence[str]) -> None:
    upgrade(uri)
    table = SqlTaskTable(uri)
    now = time.time()
    for url in urls:
        table.add(
            Task(
                id=str(uuid.uuid4()), url=url, created_at=now, updated_at=now, due_at=now, expires_at=int(now) + 86_400
            )
        )


def _verify(digests: Counter[str], samples: Sequence[Sample]) -> None:
    if digests != Counter(sample.md5 for sample in samples):
        raise SystemExit("the digests are not those of the files")


CASES = [
    Case(
        "small",
        "10,000 files of 1 KiB",
        "One worker process on SQLite, all tasks submitted beforehand, against a shell loop of four slots. The start "
        "of the worker counts.",
        "One GIL: 0.8 to 1.4 ms of Python per file by the machine, half of it HTTP, a fifth the task table (read, "
        "claim, result). Eight files at once hide the wait for the disk.",
        ["nginx", "curl", "md5sum", "xargs"],
        3,
        small,
    ),
]
