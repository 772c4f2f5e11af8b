"""A list of many files on one origin, with the command."""

from __future__ import annotations

import hashlib

from bench.files import small_files
from bench.measure import Command, interleaved, say
from bench.origin_nginx import Nginx
from bench.workspace import NETWORKS, URLSUM, Case, Row, Workspace, absolute, against

COUNT = 1000
# A part of a data set that comes in many pieces: tiles, slices, single reads.
SIZE = 102_400
SLOTS = 8
PEER = f"xargs -P{SLOTS} sh -c 'curl | md5sum'"
# Neither prints in the order of the list; one digest verifies all.
DIGEST = "cut -c1-32 | sort | md5sum"


def listed(workspace: Workspace) -> list[Row]:
    """Compare with eight parallel shell pipelines."""
    say(f"making {COUNT} files …")
    samples = small_files(workspace.files, COUNT, SIZE)
    lines = "".join(f"{md5}\n" for md5 in sorted(sample.md5 for sample in samples))
    expected = hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest()
    urls = workspace.folder / "urls"
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        urls.write_text("".join(f"{nginx.url(sample.name)}\n" for sample in samples))
        pipelines = f"xargs -P{SLOTS} -n1 sh -c 'curl -s $0 | md5sum' < {urls} | {DIGEST}"
        environment = {"URLSUM_ALLOWED_NETWORKS": NETWORKS, "XDG_STATE_HOME": str(workspace.folder / "states")}
        command = f"{URLSUM} -j{SLOTS} -i {urls} | {DIGEST}"
        results = interleaved(
            [Command(PEER, pipelines, expected), Command("urlsum", command, expected, environment)], workspace.rounds
        )
    return [*absolute(results), against(results, PEER, "wall", 0.25)]


CASES = [
    Case(
        "listed",
        "A list of 1,000 files of 100 KiB",
        "`urlsum -j 8 -i urls` from nginx on loopback, against a shell loop of eight slots.",
        "Python: its start, and per file two requests: the file, and the range of its closing proof. A process for "
        "each core divides them.",
        ["nginx", "curl", "md5sum", "xargs"],
        5,
        listed,
    ),
]
