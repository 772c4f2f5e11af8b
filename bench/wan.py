"""A network path of 1 Gbit/s and 80 ms between two new network namespaces; ``wan.c`` moves the packets.

Netem would be simpler, but not every kernel supports it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

BITS_PER_SECOND = 1_000_000_000
ONE_WAY_MICROSECONDS = 40_000
# One bandwidth-delay product, the usual buffer of a router on such a path.
QUEUE_BYTES = 10_000_000
DEVICE = "wan0"
ORIGIN, CLIENT = "10.77.0.1", "10.77.0.2"
NETWORK, PREFIX = "10.77.0.0/24", 24
CONGESTION = "cubic"
# The device's own queue must not be a second bottleneck.
DEVICE_QUEUE_PACKETS = 100_000


class Wan:
    """The path, as a context manager. ``at_origin`` and ``at_client`` are prefixes that run a command at either end."""

    def __init__(self, folder: Path, *, loss_ppm: int = 0) -> None:
        self._folder = folder
        self._loss_ppm = loss_ppm
        self._names = [f"urlsum-{os.getpid()}-{end}" for end in ("origin", "client")]
        self.at_origin, self.at_client = (["ip", "netns", "exec", name] for name in self._names)
        self.report = ""

    def __enter__(self) -> Self:
        program = self._folder / "wan"
        subprocess.run(["cc", "-O2", "-o", str(program), str(Path(__file__).with_name("wan.c"))], check=True)
        self._stack = ExitStack()
        try:
            for name in self._names:
                _ip("netns", "add", name)
                self._stack.callback(_ip, "netns", "del", name)
            self._process = self._start(program)
            self._stack.callback(self._stop)
            for name, address in zip(self._names, (ORIGIN, CLIENT), strict=True):
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "addr", "add", f"{address}/{PREFIX}", "dev", DEVICE)
                _ip("-n", name, "link", "set", DEVICE, "txqueuelen", str(DEVICE_QUEUE_PACKETS), "up")
                # Otherwise TCP metrics that one run saved would help the next one.
                _sysctl(name, "net.ipv4.tcp_no_metrics_save", 1)
                # The congestion control of most origins, independent of this machine's default. Set by route: the
                # sysctl accepts only algorithms that the machine allows to all users.
                _ip("-n", name, "route", "change", NETWORK, "dev", DEVICE, "src", address, "congctl", CONGESTION)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _start(self, program: Path) -> subprocess.Popen[str]:
        spaces = [f"/run/netns/{name}" for name in self._names]
        figures = [BITS_PER_SECOND, ONE_WAY_MICROSECONDS, QUEUE_BYTES, self._loss_ppm]
        process = subprocess.Popen(
            [str(program), *spaces, DEVICE, *map(str, figures)], stdout=subprocess.PIPE, text=True
        )
        if process.stdout is None or process.stdout.readline() != "ready\n":
            process.kill()
            raise RuntimeError("the emulator did not start")
        return process

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self.report, _ = self._process.communicate()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _sysctl(name: str, key: str, value: int) -> None:
    path = "/proc/sys/" + key.replace(".", "/")
    subprocess.run(["ip", "netns", "exec", name, "sh", "-c", f"echo {value} > {path}"], check=True)
