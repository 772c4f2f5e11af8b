"""Compare the resumable MD5 with hashlib's: `python bench/md5.py` prints one table.

Each round times both on the same buffer, one right after the other, and the order alternates, so that a busy or
throttled machine slows both alike. The ratio is computed within each round. Above 1, the engine is faster.
"""

from __future__ import annotations

import hashlib
import platform
import ssl
import statistics
import time
from typing import TYPE_CHECKING

from urlsum import md5
from urlsum.md5 import engines
from urlsum.md5.native import libraries

if TYPE_CHECKING:
    from collections.abc import Callable

KIB, MIB = 1024, 1024 * 1024
# Update sizes: one network read, a TLS record, a chunk of the streaming loop, a part of a range download.
SIZES = {"1 KiB": KIB, "16 KiB": 16 * KIB, "1 MiB": MIB, "8 MiB": 8 * MIB}
# About 45 ms per sample at 700 MB/s: long against the clock's resolution and a scheduler's tick, yet short enough for
# many samples.
SAMPLE_BYTES = 32 * MIB
ROUNDS = 15
# A thirtieth of a sample is 1.5 ms of C but 0.4 s of plain Python.
SLOW_SAMPLE_BYTES = MIB
SLOW_ROUNDS = 3


def seconds(update: Callable[[memoryview], None], chunk: memoryview, times: int) -> float:
    """Return the seconds that ``times`` updates with ``chunk`` take."""
    begin = time.perf_counter()
    for _ in range(times):
        update(chunk)
    return time.perf_counter() - begin


def compare(hasher: type[md5.MD5], size: int, sample: int, rounds: int) -> tuple[list[float], float]:
    """Return the ratio of hashlib's time to ours for each round, and our median rate in MB/s."""
    chunk = memoryview(bytearray(size))
    times = max(1, sample // size)
    ratios, rates = [], []
    for number in range(rounds):
        ours, theirs = hasher(), hashlib.md5(usedforsecurity=False)
        if number % 2:
            mine, other = seconds(ours.update, chunk, times), seconds(theirs.update, chunk, times)
        else:
            other, mine = seconds(theirs.update, chunk, times), seconds(ours.update, chunk, times)
        if ours.hexdigest() != theirs.hexdigest():
            raise SystemExit(f"{hasher.__name__} and hashlib disagree")
        ratios.append(other / mine)
        rates.append(times * size / mine / 1e6)
    return ratios, statistics.median(rates)


def main() -> None:
    """Measure every engine available on this machine."""
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {platform.machine()}; in use: {md5.engine}")
    print(f"{'engine':30} {'update':>7} {'MB/s':>7}  ratio to hashlib: median (min … max)")
    for library in libraries():
        outcome = engines.try_library(library)
        if isinstance(outcome, str):
            print(f"not here: {outcome}")
            continue
        report(outcome, SIZES, SAMPLE_BYTES, ROUNDS)
    report(engines.PYTHON, {"1 MiB": MIB}, SLOW_SAMPLE_BYTES, SLOW_ROUNDS)


def report(engine: engines.Engine, sizes: dict[str, int], sample: int, rounds: int) -> None:
    """Print a line for each size of update."""
    hasher = type(engine.name, (md5.MD5,), {"__slots__": (), "_engine": engine})
    for name, size in sizes.items():
        ratios, rate = compare(hasher, size, sample, rounds)
        spread = f"{statistics.median(ratios):.4f} ({min(ratios):.4f} … {max(ratios):.4f})"
        print(f"{engine.name:30} {name:>7} {rate:7.1f}  {spread}")


if __name__ == "__main__":
    main()
