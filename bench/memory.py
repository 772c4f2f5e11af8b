"""Peak memory: by connections, and over the size of the file."""

from __future__ import annotations

from bench.files import MIB, random_file
from bench.measure import Command, Spread, run, say
from bench.origin_nginx import Nginx
from bench.transfers import PACED_CONNECTIONS, paced_origin
from bench.world import Case, Row, World, urlsum

# Over before another connection could be tried.
SHORT_BYTES = 256 * MIB
MB = 1_000_000
# The peak of eight connections creeps up by a few buffers of 1 MiB, as far as their budget goes; what grew with the
# file would be six times as much.
FLAT = 1.1


def memory(world: World) -> list[Row]:
    """Eight connections need an origin that is worth them; one is read from a fast one, over TLS."""
    samples = [random_file(world.files, SHORT_BYTES), world.big, world.long]
    peaks: dict[str, list[list[float]]] = {}
    with paced_origin(world) as base, Nginx(world.folder / "nginx", world.files) as nginx:
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
                peaks.setdefault(name, []).append(_peaks(command, world.rounds))
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
