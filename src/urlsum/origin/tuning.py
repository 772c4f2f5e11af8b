"""The sizes and times that make reading fast; a deployment keeps the defaults, a test shrinks its file with others."""

from __future__ import annotations

from dataclasses import dataclass

# The most that is received or hashed at once. MD5 takes 1.4 ms for it, beside which the calls around it vanish; smaller
# ones made more hand-overs between threads and up to a third more CPU, larger ones only more memory.
BLOCK_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Tuning:
    """What ``HttpSource`` is tuned with. Sizes in bytes, times in seconds."""

    block_bytes: int = BLOCK_BYTES

    inline_bytes: int = BLOCK_BYTES
    """How much the reader's thread receives itself: it is there before another thread would have started, and most
    files end within it."""

    part_bytes: int = 8 * 2**20
    """How much a connection reads before its next request. At the rates where several connections pay this takes half
    a second, beside which the wait for a response is small; TLS with parts of 1 MiB was measurably slower."""

    slow_part_bytes: int = 2 * 2**20
    """A slow connection takes less at a time: the bytes behind its part wait in the buffer, and when that is full, all
    other connections wait, and TCP forgets its window. Eight connections over 80 ms and 1 Gbit/s, 2 GiB: 34 s with
    parts of 8 MiB, which fill the buffer, 26 s with 4 MiB, 22 s with 2 MiB."""

    observe_seconds: float = 0.05
    """How often throughput is measured; also the pause before a broken connection is replaced."""

    moment_seconds: float = 0.05
    """A file of at most ``closing.MOMENT_BYTES`` that comes within this needs no closing proof."""

    idle_seconds: float = 15.0
    """How long a connection may wait in the pool. Servers close it themselves: Apache after 5 s, nginx after 75, S3
    after some 20. One that was closed meanwhile costs the try."""

    idle_connections: int = 16
    """The most in the pool: as many as one process reads files at once, and some of another origin."""


DEFAULTS = Tuning()
