"""Eight large files over TLS at once, as a worker with eight tasks reads them."""

from __future__ import annotations

import shutil

from bench.files import MIB, Sample, random_file
from bench.measure import say
from bench.origin_nginx import Nginx
from bench.tasks import against_pipelines
from bench.workspace import Case, Row, Workspace

COUNT = 8
SIZE = 256 * MIB
PEER = "xargs -P8 sh -c 'curl | md5sum'"


def several(workspace: Workspace) -> list[Row]:
    """Compare the worker, with table and queue in SQLite, with as many parallel shell pipelines as there are files."""
    say(f"making {COUNT} files of {SIZE // MIB} MiB …")
    samples = _files(workspace)
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        urls = {nginx.url(sample.name, secure=True): sample for sample in samples}
        return against_pipelines(
            workspace,
            "several",
            urls,
            peer=PEER,
            fetch=f"curl -s --cacert {nginx.ca_file}",
            slots=COUNT,
            bar=0.9,
            SSL_CERT_FILE=str(nginx.ca_file),
        )


def _files(workspace: Workspace) -> list[Sample]:
    # One content suffices: neither side keeps anything from one file to the next.
    first = random_file(workspace.files, SIZE)
    samples = []
    for number in range(COUNT):
        name = f"several-{number}.bin"
        shutil.copyfile(workspace.files / first.name, workspace.files / name)
        samples.append(Sample(name, first.size, first.md5))
    return samples


CASES = [
    Case(
        "several",
        "8 files of 256 MiB at once, HTTPS",
        "The worker on SQLite, a process for each core, all tasks submitted beforehand, against eight parallel shell "
        "pipelines. The start of the worker counts.",
        "All cores: MD5, decryption and the sender share them on both sides. What is saved is the pipe and its copies; "
        "within one process the threads would get in one another's way.",
        ["nginx", "curl", "md5sum", "xargs"],
        3,
        several,
    ),
]
