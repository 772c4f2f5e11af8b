"""Several worker processes on one machine, because Python's lock keeps one to a core; restarted when they die."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from selfhost.memory import KilledForMemory
from urlsum.origin.parallel.concurrency import cpus

log = logging.getLogger("urlsum.server")

# Pause before a dead worker is restarted: long enough not to spin, short against a lease.
RESTART_SECONDS = 1.0
# More than the worker's own grace of 1.5 s; then it is killed, and its leases lapse by themselves.
WORKER_STOP_SECONDS = 1.8
# A killed process is gone within milliseconds; without a wait it would stay a zombie until this process ends.
WORKER_REAP_SECONDS = 0.1
# The exit status of a worker whose settings are wrong: another start would end the same way.
WRONG_SETTINGS = 2
# cgroup v2: the quota of CPU time and its period in microseconds, or "max". A container may see 64 CPUs and have two.
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def count(setting: int) -> int:
    """How many worker processes to run by WORKER_PROCESSES: one for each core if it is 0."""
    return setting or cores()


def cores(quota_file: Path = CPU_QUOTA) -> int:
    """The number of cores that this process may use, by its affinity and its container's quota."""
    with suppress(OSError, ValueError):
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(cpus(), math.ceil(int(quota) / int(period))))
    return cpus()


class WorkerProcesses:
    """The worker processes of this machine."""

    def __init__(self, processes: int) -> None:
        self.ended = threading.Event()
        """Set when no worker is restarted any more: after ``ask_to_stop``, or because the settings are wrong."""
        self.status = 0
        """The exit status of a worker that found the settings wrong, else 0."""
        self._workers = [_WorkerProcess(self, number, processes) for number in range(processes)]

    def start(self) -> None:
        """Start the workers and keep them running."""
        for worker in self._workers:
            worker.start()

    def ask_to_stop(self) -> None:
        """Terminate the workers; their tasks resume at the next start."""
        self.ended.set()
        for worker in self._workers:
            worker.ask_to_stop()

    def stop(self) -> None:
        """Return when all have ended, at the latest WORKER_STOP_SECONDS after the first ``ask_to_stop``."""
        self.ask_to_stop()
        for worker in self._workers:
            worker.stop()


class _WorkerProcess:
    def __init__(self, all_of_them: WorkerProcesses, number: int, processes: int) -> None:
        self._all = all_of_them
        self._command = [sys.executable, "-m", "selfhost.worker", "--embedded"]
        self._command += ["--processes", str(processes), "--number", str(number)]
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._killed_for_memory = KilledForMemory()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self._stop_by = time.monotonic() + WORKER_STOP_SECONDS
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        self._thread.join(max(0.0, self._stop_by - time.monotonic()))
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join(WORKER_REAP_SECONDS)

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            # The pipe is never written to: the worker reads its end when this process dies, however it dies. In a
            # session of its own, Ctrl-C reaches the worker through this process only, which then expects it to end.
            with subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603 (all of it is ours)
                self._process = process
                if self._stopping.is_set():  # stopped while the process was being started
                    process.terminate()
                status = process.wait()
            if status == WRONG_SETTINGS and not self._stopping.is_set():
                self._all.status = status
                self._all.ended.set()
                return
            if not self._stopping.is_set():
                log.warning("a worker exited with status %s; restarting it", status)
                if reason := self._killed_for_memory.look():
                    log.error("a worker was %s", reason)
                self._stopping.wait(RESTART_SECONDS)
