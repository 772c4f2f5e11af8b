"""Submits URLs as tasks in a SQLite table, and compares the worker with parallel shell pipelines."""

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

from bench.measure import Command as Peer
from bench.measure import Run, interleaved, say
from bench.workspace import NETWORKS, PYTHON, ROOT, absolute, against
from selfhost.migrate import upgrade
from urlsum.tables.sql import SqlTaskTable
from urlsum.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.files import Sample
    from bench.workspace import Row, Workspace

LOOK_SECONDS = 0.1
LIMIT_SECONDS = 1800


def worker(folder: Path, urls: dict[str, Sample], name: str, **settings: str) -> Run:
    """Submit all URLs, then start the worker and wait until no task is pending; ``settings`` are further ones."""
    database = folder / f"{name}.db"
    _submit(f"sqlite:///{database}", list(urls))
    environment = dict(os.environ) | {
        "DATABASE_URI": f"sqlite:///{database}",
        "ALLOWED_NETWORKS": NETWORKS,
        "OUTBOX_DIR": str(folder / "outbox"),
        **settings,
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
    verify(Counter(md5 for _, md5 in results), list(urls.values()))
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


def verify(digests: Counter[str], samples: Sequence[Sample]) -> None:
    """Raises SystemExit unless the digests are those of the samples."""
    if digests != Counter(sample.md5 for sample in samples):
        raise SystemExit("the digests are not those of the files")


def against_pipelines(
    workspace: Workspace,
    case: str,
    urls: dict[str, Sample],
    *,
    peer: str,
    fetch: str,
    slots: int,
    bar: float,
    **settings: str,
) -> list[Row]:
    """Compare the worker with ``slots`` parallel pipelines of ``fetch``, a command that takes a URL, and md5sum.

    ``bar`` is the highest ratio that is good, ``settings`` are the worker's.
    """
    samples = list(urls.values())
    listed, out = workspace.folder / "urls", workspace.folder / "digests"
    listed.write_text("\n".join(urls) + "\n")
    line = f"""xargs -P{slots} -n1 sh -c '{fetch} "$0" | md5sum' < {listed} > {out} && echo done"""
    results: dict[str, list[Run]] = {peer: [], "worker": []}
    for number in range(workspace.rounds):
        # The order alternates, as in the other cases.
        for name in (peer, "worker") if number % 2 == 0 else ("worker", peer):
            if name == peer:
                results[peer] += interleaved([Peer(peer, line, "done")], 1, warm=False)[peer]
                verify(Counter(each.split()[0] for each in out.read_text().splitlines()), samples)
            else:
                results["worker"].append(worker(workspace.folder, urls, f"{case}-{number}", **settings))
    return [*absolute(results), against(results, peer, "wall", bar, ours="worker")]
