"""Running commands against one another: in turns, in one go, each answer verified."""

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

# Memory is read from outside this often. The peak of a process that streams stands for seconds.
SAMPLE_SECONDS = 0.02
# No single run of any case takes this long; one that does hangs.
LIMIT_SECONDS = 1800


@dataclass(frozen=True)
class Command:
    """Something that prints ``expected``; ``shell`` is a line for sh, ``prefix`` what it is run under."""

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
    """Run once and verify. Raises SystemExit when the answer is wrong: a figure for it would mean nothing."""
    environment = dict(os.environ) | dict(command.environment)
    # Not under a shell where the process itself is looked at: exec makes the shell that process.
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
        # The usage of a process counts the children that it waited for, which a shell does for a pipeline.
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

    Not ru_maxrss: that of a child begins with what its parent had when it forked.
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
    """Run all ``rounds`` times, in turns who goes first; a round before that warms up and is not counted.

    Whatever slows the machine for a while then slows all alike, and a ratio is taken within its round.
    """
    results: dict[str, list[Run]] = {command.name: [] for command in commands}
    if warm:
        for command in commands:
            run(command)
    for number in range(rounds):
        turn = number % len(commands)
        for command in [*commands[turn:], *commands[:turn]]:
            result = run(command)
            results[command.name].append(result)
            say(f"  {number + 1}/{rounds} {command.name:28} {result.wall:8.2f} s wall {result.cpu:8.2f} s CPU")
    return results


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of some figures."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """``median (min … max)``."""
        low, middle, high = min(self.values), self.median, max(self.values)
        return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def ratios(ours: Sequence[Run], theirs: Sequence[Run], figure: str) -> Spread:
    """Our ``wall``, ``cpu`` or ``peak`` by theirs, round by round."""
    return Spread([getattr(mine, figure) / getattr(other, figure) for mine, other in zip(ours, theirs, strict=True)])


def say(text: str) -> None:
    """Tell the person who waits; the report goes to standard output."""
    sys.stderr.write(text + "\n")
