"""A test that fails while the machine stands still is run once more; the summary names it.

A virtual machine that its host pauses, or one with too many processes, can stop for seconds. Then a time-out of two
seconds expires though the other side, a thread of the same process, was about to send. Without such a pause, a test
that fails has failed: this excuses no race and no slow code. As it logs the reports of each test by itself, it also
leaves out those that a process of xdist would send for nothing.
"""

from __future__ import annotations

import threading
from time import monotonic, process_time, sleep
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from collections.abc import Sequence

TICK_SECONDS = 0.05
# Half of the shortest time that a test allows a healthy peer (1 s). Eight test processes on two cores make single
# pauses of 0.6 s.
STALL_SECONDS = 0.5


class Watch(threading.Thread):
    """Measures how late its ticks come."""

    def __init__(self) -> None:
        super().__init__(name="stalls", daemon=True)
        self.longest = 0.0
        """The longest pause in seconds since this was set to 0."""

    def run(self) -> None:
        """Tick until the process ends."""
        then = monotonic(), process_time()
        while True:
            sleep(TICK_SECONDS)
            now = monotonic(), process_time()
            self.longest = max(self.longest, stalled(then, now))
            then = now


def stalled(then: tuple[float, float], now: tuple[float, float]) -> float:
    """How long this process stood still between two ticks, each the time and the CPU time of the process in seconds.

    A test that computes without letting go of the interpreter delays a tick as well; that is no stall.
    """
    (began, computed), (ended, computed_by_now) = then, now
    return max(0.0, ended - began - TICK_SECONDS - (computed_by_now - computed))


class RunsStalledTestsAgain:
    """The plug-in; one for each test process."""

    def __init__(self, config: pytest.Config) -> None:
        self.watch = Watch()
        # One of several processes sends each report to the one that counts, which ignores a set-up that passed.
        self.sends = hasattr(config, "workerinput")

    def pytest_sessionstart(self) -> None:
        self.watch.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test, and a second time if the first failed in a stall."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self.watch.longest = 0.0
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if any(report.failed for report in reports) and self.watch.longest >= STALL_SECONDS:
            first = next(report for report in reports if report.failed)
            first.outcome = "rerun"  # type: ignore[assignment] # a category of this plug-in
            first.sections.append(("stall", f"{self.watch.longest:.1f}"))
            reports = [first, *runtestprotocol(item, log=False, nextitem=nextitem)]
        for report in reports:
            if report.when == "call" or not report.passed or not self.sends:
                item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None  # type: ignore[comparison-overlap]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in summary(terminalreporter.stats.get("rerun", [])):
            terminalreporter.write_line(line)


def summary(reports: Sequence[pytest.TestReport]) -> list[str]:
    """A line for each test that was run again."""
    return [
        f"RERUN {report.nodeid}: the machine stood still for {dict(report.sections)['stall']} s" for report in reports
    ]
