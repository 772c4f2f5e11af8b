"""The self-hosted worker's loop: several tasks at once, outages survived, a quick stop that loses nothing."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfhost import slots
from selfhost.slots import GRACE_SECONDS, SLOTS, Worker
from tests.support.origin.synthetic import SyntheticSource
from urlsum.errors import QueueUnavailable, TimedOut
from urlsum.settings import Settings
from urlsum.task import Status
from urlsum.worker.emails import EmailThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.integration.worker.conftest import WorkerSetup
    from urlsum.queues import Delivery, Order

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.02)


class RealClock:
    """The worker's clock, which a source cannot move."""

    now = 0.0

    def __call__(self) -> float:
        return time.monotonic()


class GatedWorker:
    """A worker on services in memory; ``gate`` holds every piece of every file back until it is set."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.setup.clock.now = time.time()
        self.gate = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.worker = Worker(Settings())
        self.source = SyntheticSource(b"x" * 100_000, RealClock(), fault=self._piece)  # type: ignore[arg-type] # a clock, too
        wired = setup.services()
        self.worker.services = replace(wired, source=self.source, clock=time.time, monotonic=time.monotonic)
        self.worker.emails = EmailThreads(self.worker.services, self.worker._send_again, threads=2)
        self._lock = threading.Lock()

    def submit(self) -> str:
        task = self.setup.add()
        self.setup.queue.send(task.id)
        return task.id

    def status(self, task_id: str) -> Status:
        return self.setup.table.get(task_id).status

    @contextmanager
    def open(self) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self.worker.run)
        thread.start()
        try:
            yield thread
        finally:
            self.worker.stop()
            self.gate.set()
            thread.join()
            for slot in self.worker.slots:
                slot.join()

    def _piece(self, offset: int) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        self.gate.wait()
        with self._lock:
            self.at_once -= 1


@pytest.fixture
def gated(setup: WorkerSetup) -> GatedWorker:
    return GatedWorker(setup)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_as_many_tasks_as_there_are_slots_run_at_once_and_no_more(gated: GatedWorker) -> None:
    tasks = [gated.submit() for _ in range(SLOTS + 3)]
    with gated.open():
        until(lambda: gated.at_once == SLOTS)
        time.sleep(0.2)
        assert gated.most_at_once == SLOTS
        gated.gate.set()
        until(lambda: all(gated.status(task_id) is Status.DONE for task_id in tasks))
        until(lambda: len(gated.setup.mailer.letters) == len(tasks))
    assert gated.most_at_once <= SLOTS
    gated.setup.queue.redeliver()
    assert gated.setup.queue.receive(10, wait=0) == []  # each was deleted


def test_the_log_tells_how_a_slice_ended_and_nothing_else_is_printed(
    gated: GatedWorker, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "urlsum")
    gated.gate.set()
    task_id = gated.submit()
    with gated.open():
        until(lambda: settled(gated, task_id))
    assert f"task {task_id}: done at 100000 bytes" in caplog.messages
    assert capsys.readouterr().out == ""  # no metrics: CloudWatch reads them on Lambda only


def test_a_long_file_does_not_hold_up_short_ones(gated: GatedWorker) -> None:
    long_one = gated.submit()
    with gated.open():
        until(lambda: gated.at_once == 1)
        gated.source.fault = lambda offset: None
        short_one = gated.submit()
        until(lambda: gated.status(short_one) is Status.DONE)
        assert gated.status(long_one) is Status.RUNNING


def test_an_outage_is_survived_and_said(gated: GatedWorker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "urlsum")
    gated.gate.set()
    task_id = gated.submit()
    gated.setup.queue.down = True
    with gated.open() as thread:
        until(lambda: "the queue does not answer; retrying" in caplog.text)
        assert thread.is_alive()
        gated.setup.queue.down = False
        until(lambda: gated.status(task_id) is Status.DONE)


def test_a_look_that_fails_in_an_unforeseen_way_ends_no_slot(
    gated: GatedWorker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = gated.setup.queue.receive
    failures = [ValueError("a bug")] * SLOTS

    def failing(limit: int, *, wait: float, order: Order) -> Sequence[Delivery]:
        if failures:
            raise failures.pop()
        return receive(limit, wait=wait, order=order)

    monkeypatch.setattr(gated.setup.queue, "receive", failing)
    tasks = [gated.submit() for _ in range(SLOTS)]
    with gated.open():
        until(lambda: gated.at_once == SLOTS)
        gated.gate.set()
        until(lambda: all(gated.status(task_id) is Status.DONE for task_id in tasks))
    assert "ValueError: a bug" in caplog.text


def test_a_delivery_that_must_come_again_is_not_deleted(gated: GatedWorker, caplog: pytest.LogCaptureFixture) -> None:
    gated.gate.set()
    task_id = gated.submit()
    gated.setup.table.silent = {task_id}
    with gated.open():
        until(lambda: "TableUnavailable" in caplog.text)
        time.sleep(0.2)
        assert gated.setup.queue.in_flight == 1
        gated.setup.table.silent = set()
        until(lambda: settled(gated, task_id))


def test_a_queue_that_fails_at_the_delete_costs_a_second_delivery_and_no_second_mail(
    gated: GatedWorker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.gate.set()
    task_id = gated.submit()
    delete = gated.setup.queue.delete
    failures = [QueueUnavailable("the queue does not answer")]

    def failing(delivery: Delivery) -> None:
        if failures:
            raise failures.pop()
        delete(delivery)

    monkeypatch.setattr(gated.setup.queue, "delete", failing)
    with gated.open():
        until(lambda: "the queue does not answer" in caplog.text)
        until(lambda: settled(gated, task_id))
        until(lambda: bool(gated.setup.mailer.letters))
    assert len(gated.setup.mailer.letters) == 1


def settled(gated: GatedWorker, task_id: str) -> bool:
    """Whether the task is done and its message deleted; if not, the message's visibility time-out ends."""
    queue = gated.setup.queue
    if gated.status(task_id) is Status.DONE and queue.in_flight == 0 and queue.waiting == 0:
        return True
    time.sleep(0.2)
    queue.redeliver()
    return False


def test_stopping_checkpoints_and_gives_every_lease_back(gated: GatedWorker) -> None:
    tasks = [gated.submit() for _ in range(SLOTS)]
    gated.source.fault = lambda offset: time.sleep(0.02)  # two seconds for the whole file
    with gated.open() as thread:
        until(lambda: len(gated.source.opened) == SLOTS)
        time.sleep(0.3)
        gated.worker.stop()
        started = time.monotonic()
        thread.join(GRACE_SECONDS)
        assert time.monotonic() - started < GRACE_SECONDS
    for task_id in tasks:
        task = gated.setup.table.get(task_id)
        assert (task.status, task.lease_until) == (Status.RUNNING, 0.0)
        assert 0 < task.offset < 100_000
        assert task.due_at is not None
        assert task.due_at <= time.time()


def test_a_stop_is_not_held_against_the_origin(gated: GatedWorker) -> None:
    # A read that ends after the clock has leaped seems to have taken for ever.
    def leap(offset: int) -> None:
        if offset and not gated.gate.is_set():
            gated.gate.set()
            gated.worker.stopping.wait()
            raise TimedOut("less than 1024 bytes per second")

    gated.source.fault = leap
    task_id = gated.submit()
    with gated.open():
        until(gated.gate.is_set)
    task = gated.setup.table.get(task_id)
    assert (task.status, task.error, task.lease_until) == (Status.RUNNING, None, 0.0)
    assert task.due_at is not None
    assert task.due_at <= time.time()


def test_what_does_not_stop_is_left_to_its_lease(gated: GatedWorker) -> None:
    task_id = gated.submit()
    with gated.open() as thread:
        until(lambda: gated.at_once == 1)
        gated.worker.stop()
        started = time.monotonic()
        thread.join(SECONDS)
        assert GRACE_SECONDS <= time.monotonic() - started < SECONDS
        assert gated.setup.table.get(task_id).lease_until > time.time()
