"""Ten thousand files of 1 KiB, to measure the cost per file instead of per byte."""

from __future__ import annotations

from bench.files import small_files
from bench.measure import say
from bench.origin_nginx import Nginx
from bench.tasks import against_pipelines
from bench.workspace import Case, Row, Workspace

COUNT = 10_000
SIZE = 1024
PEER = "xargs -P4 sh -c 'curl | md5sum'"


def small(workspace: Workspace) -> list[Row]:
    """Compare the worker, with table and queue in SQLite, with four parallel shell pipelines."""
    say(f"making {COUNT} files …")
    samples = small_files(workspace.files, COUNT, SIZE)
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        urls = {nginx.url(sample.name): sample for sample in samples}
        return against_pipelines(workspace, "small", urls, peer=PEER, fetch="curl -s", slots=4, bar=0.2)


CASES = [
    Case(
        "small",
        "10,000 files of 1 KiB",
        "The worker on SQLite, a process for each core, all tasks submitted beforehand, against a shell loop of four "
        "slots. The start of the worker counts.",
        "0.8 to 1.4 ms of Python per file and core by the machine, half of it HTTP, a fifth the task table (read, "
        "claim, result). Eight files at once hide the wait for the disk.",
        ["nginx", "curl", "md5sum", "xargs"],
        3,
        small,
    ),
]
