"""Runs competing commands interleaved in one session, and verifies the output of each run."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Interval of the memory samples. A streaming process stays at its peak for seconds.
SAMPLE_SECONDS = 0.02
# Every run of every case is shorter, so a longer run hangs.
LIMIT_SECONDS = 1800


@dataclass(frozen=True)
class Command:
    """A command line ``shell`` for sh that must print ``expected``; ``prefix`` is put before it, like ``taskset``."""

    name: str
    shell: str
    expected: str
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()


@dataclass(frozen=True)
class Run:
    """One run: wall and CPU seconds of the command with all its children, and its peak memory in bytes."""

    wall: float
    cpu: float
    peak: int


def run(command: Command, *, memory: bool = False) -> Run:
    """Run once and verify. Raises SystemExit if the output is wrong, because its figure would be meaningless."""
    environment = dict(os.environ) | dict(command.environment)
    # With exec, the measured process is the program itself and not a shell around it.
    line = f"exec {command.shell}" if memory else command.shell
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command.prefix, "sh", "-c", line], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    watch = _Peak(process.pid) if memory else None
    limit = threading.Timer(LIMIT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        assert process.stdout is not None
        with process.stdout as pipe:
            out = pipe.read()
        # The usage of a process includes the children that it waited for. A shell waits for those of a pipeline.
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        limit.cancel()
        peak = watch.stop() if watch else 0
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or command.expected not in out.decode():
        raise SystemExit(f"{command.name}: {command.shell}\nstatus {process.returncode}, said {out[:300]!r}")
    return Run(wall, usage.ru_utime + usage.ru_stime, peak)


class _Peak:
    """The peak resident memory of a process (VmHWM of proc(5)), read until it ends.

    Not ru_maxrss, which a child inherits from its parent at the fork.
    """

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/status")
        self._peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            try:
                lines = self._path.read_text().splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self._peak = int(line.split()[1]) * 1024


def interleaved(commands: Sequence[Command], rounds: int, *, warm: bool = True) -> dict[str, list[Run]]:
    """Run all commands ``rounds`` times, in rotating order, after a warm-up round that is not counted.

    A temporary slowdown of the machine then affects all alike. Ratios are computed within each round.
    """
    results: dict[str, list[Run]] = {command.name: [] for command in commands}
    if warm:
        for command in commands:
            run(command)
    for number in range(rounds):
        first = number % len(commands)
        for command in [*commands[first:], *commands[:first]]:
            result = run(command)
            results[command.name].append(result)
            say(f"  {number + 1}/{rounds} {command.name:28} {result.wall:8.2f} s wall {result.cpu:8.2f} s CPU")
    return results


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of ``values``."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """``median (min … max)``."""
        low, middle, high = min(self.values), self.median, max(self.values)
        return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def ratios(ours: Sequence[Run], theirs: Sequence[Run], figure: str) -> Spread:
    """The ratio of our ``wall``, ``cpu`` or ``peak`` to theirs, for each round."""
    return Spread([getattr(mine, figure) / getattr(other, figure) for mine, other in zip(ours, theirs, strict=True)])


def say(text: str) -> None:
    """Report progress on standard error; the report itself goes to standard output."""
    sys.stderr.write(text + "\n")
