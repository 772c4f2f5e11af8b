"""Sizes and times that affect only speed; deployments use the defaults, tests scale them down to small files."""

from __future__ import annotations

from dataclasses import dataclass

# The largest unit of receiving and hashing. MD5 takes 1.4 ms for it, beside which the calls around it vanish. Smaller
# blocks caused more hand-overs between threads and up to a third more CPU time; larger ones only cost memory.
BLOCK_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Tuning:
    """The tuning of ``HttpSource``. Sizes in bytes, times in seconds."""

    block_bytes: int = BLOCK_BYTES

    inline_bytes: int = BLOCK_BYTES
    """The reader's thread receives this much itself: it arrives before another thread would have started, and most
    files end within it."""

    part_bytes: int = 8 * 2**20
    """The size of one range request. At the rates where several connections pay, a part takes half a second, beside
    which the wait for a response is small; TLS with parts of 1 MiB was measurably slower."""

    slow_part_bytes: int = 2 * 2**20
    """The size of a range request on a slow connection. Bytes behind a slow part wait in the reassembly buffer; when
    that is full, back-pressure stops all other connections, and TCP resets its congestion window. Eight connections
    over 80 ms and 1 Gbit/s, 2 GiB: 34 s with parts of 8 MiB, which fill the buffer, 26 s with 4 MiB, 22 s with
    2 MiB."""

    observe_seconds: float = 0.025
    """The interval between throughput measurements; also the pause before a broken connection is replaced."""

    moment_seconds: float = 0.05
    """A file of at most ``closing.MOMENT_BYTES`` that arrives within this time needs no closing proof."""

    idle_seconds: float = 15.0
    """The longest idle time in the connection pool. Servers close idle connections themselves: Apache after 5 s, nginx
    after 75, S3 after some 20. A connection that was closed meanwhile costs one try."""

    idle_connections: int = 16
    """The capacity of the connection pool: one for each file that a process reads at once, and some of another
    origin."""

    processes: int = 1
    """The worker processes of this machine, which share the memory for reading ahead."""


DEFAULTS = Tuning()
