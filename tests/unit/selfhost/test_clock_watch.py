"""The clock of a server that runs."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from selfhost import server
from selfhost.clock_watch import ClockWatch
from urlsum import wiring
from urlsum.errors import ClockSkewed, TableUnavailable
from urlsum.settings import parse

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_measured_again_and_again_whatever_a_measurement_finds(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = iter([None, ClockSkewed(300.0), TableUnavailable("no answer"), ValueError("a defect"), None])
    measured_all = threading.Event()

    def synchronize() -> None:
        outcome = next(outcomes, "end")
        if outcome == "end":
            measured_all.set()
        elif isinstance(outcome, Exception):
            raise outcome

    watch = ClockWatch(SimpleNamespace(synchronize=synchronize), refresh_seconds=0.001)  # type: ignore[arg-type] # no more is used
    watch.start()
    assert measured_all.wait(60)
    watch.stop()
    said = ["the clock of this machine is 300 s behind the database's; set both by NTP", "the clock: no answer"]
    assert caplog.messages == [*said, "cannot measure the clock"]


@pytest.mark.parametrize(
    "queue",
    [
        {},
        {"redis_url": "redis://127.0.0.1:9/0"},
        {"tasks_queue_url": "http://127.0.0.1:9/q", "continuations_queue_url": "http://127.0.0.1:9/c"},
    ],
    ids=["embedded workers", "RQ", "SQS"],
)
def test_every_server_watches_its_clock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, queue: dict[str, object]
) -> None:
    config = parse({"database_uri": f"sqlite:///{tmp_path}/urlsum.db", "outbox_dir": str(tmp_path), **queue})
    services = wiring.wire(config)
    monkeypatch.setattr(wiring, "services", lambda: services)
    assert sum(isinstance(companion, ClockWatch) for companion in server._beside(config)) == 1
