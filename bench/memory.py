"""Peak memory: by connections, and over the size of the file."""

from __future__ import annotations

from bench.files import MIB, random_file
from bench.measure import Command, Spread, run, say
from bench.origin_nginx import Nginx
from bench.transfers import PACED_CONNECTIONS, paced_origin
from bench.world import Case, Row, World, urlsum

SMALLER_BYTES = 256 * MIB
MB = 1_000_000
# Buffers are made as they are needed: a file that is over in two seconds may not need all that the window allows.
FLAT = 1.2


def memory(world: World) -> list[Row]:
    """Eight connections need an origin that is worth them; one is read from a fast one, over TLS."""
    samples = [random_file(world.files, SMALLER_BYTES), world.big]
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
    return [row for name, (smaller, larger) in peaks.items() for row in _rows(name, smaller, larger)]


def _peaks(command: Command, rounds: int) -> list[float]:
    peaks = [run(command, memory=True).peak / MB for _ in range(rounds)]
    say(f"  {command.shell}: {Spread(peaks).text(1)} MB")
    return peaks


def _rows(name: str, smaller: list[float], larger: list[float]) -> list[Row]:
    bound = 110 if name.startswith("8") else 50
    growth = Spread(larger).median / Spread(smaller).median
    return [
        Row(f"{name}, 256 MiB", f"{Spread(smaller).text(1)} MB", f"≤ {bound} MB", max(smaller) <= bound),
        Row(f"{name}, 2 GiB", f"{Spread(larger).text(1)} MB", f"≤ {bound} MB", max(larger) <= bound),
        Row(f"{name}, 2 GiB / 256 MiB", f"{growth:.3f}", f"≤ {FLAT}", growth <= FLAT),
    ]


CASES = [
    Case(
        "memory",
        "Peak memory",
        "VmHWM of the one process.",
        "The interpreter with its libraries, and the window of buffers that the connections fill.",
        ["nginx"],
        3,
        memory,
    ),
]
