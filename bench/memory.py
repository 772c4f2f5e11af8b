"""Peak memory by number of connections and by file size."""

from __future__ import annotations

from bench.files import MIB, random_file
from bench.measure import Command, Spread, run, say
from bench.origin_nginx import Nginx
from bench.transfers import PACED_CONNECTIONS, paced_origin
from bench.workspace import Case, Row, Workspace, urlsum

# So small that the download ends before urlsum could add another connection.
SHORT_BYTES = 256 * MIB
MB = 1_000_000
# The peak of eight connections rises by a few buffers of 1 MiB, up to their budget. Memory proportional to the file
# would grow sixfold.
FLAT = 1.1


def memory(workspace: Workspace) -> list[Row]:
    """Measure eight connections at a paced origin, where they are worthwhile, and one at a fast origin."""
    samples = [random_file(workspace.files, SHORT_BYTES), workspace.big, workspace.long]
    peaks: dict[str, list[list[float]]] = {}
    with paced_origin(workspace) as base, Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        many, one = ["--connections", str(PACED_CONNECTIONS)], ["--connections", "1"]
        for sample in samples:
            commands = {
                "8 connections at 20 MB/s each": urlsum(base + sample.name, sample.md5, *many),
                "8 connections at most, HTTPS": urlsum(
                    nginx.url(sample.name, secure=True), sample.md5, *many, ca_file=nginx.ca_file
                ),
                "1 connection, HTTPS": urlsum(
                    nginx.url(sample.name, secure=True), sample.md5, *one, ca_file=nginx.ca_file
                ),
                "1 connection, HTTP": urlsum(nginx.url(sample.name), sample.md5, *one),
            }
            for name, command in commands.items():
                peaks.setdefault(name, []).append(_peaks(command, workspace.rounds))
    return [row for name, each in peaks.items() for row in _rows(name, each)]


def _peaks(command: Command, rounds: int) -> list[float]:
    peaks = [run(command, memory=True).peak / MB for _ in range(rounds)]
    say(f"  {command.shell}: {Spread(peaks).text(1)} MB")
    return peaks


def _rows(name: str, peaks: list[list[float]]) -> list[Row]:
    bound = 110 if name.startswith("8") else 50
    _, middle, long = peaks
    growth = Spread(long).median / Spread(middle).median
    return [
        *(
            Row(f"{name}, {size}", f"{Spread(each).text(1)} MB", f"≤ {bound} MB", max(each) <= bound)
            for size, each in zip(("256 MiB", "2 GiB", "12 GiB"), peaks, strict=True)
        ),
        Row(f"{name}, 12 GiB / 2 GiB", f"{growth:.3f}", f"≤ {FLAT}", growth <= FLAT),
    ]


CASES = [
    Case(
        "memory",
        "Peak memory",
        "VmHWM of the one process.",
        "The interpreter with its libraries, and the window of buffers that the connections fill: how many are in use "
        "at once varies, so that the peak of a longer run is a few of 1 MiB higher, up to the budget. 48 GiB at "
        "160 MB/s: 60 MB after 15 s, 62 after 135 s, 63 after 285 s.",
        ["nginx"],
        3,
        memory,
    ),
]
