"""Emails in threads of their own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum.deadline import Deadline
from urlsum.errors import MailUnavailable
from urlsum.settings import Settings
from urlsum.task import Mail, Task
from urlsum.worker import notify
from urlsum.worker.delivery import handle
from urlsum.worker.emails import BUSY_SECONDS, LONGEST_BUSY_SECONDS, EmailThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Letter

THREADS = 2


class GatedMailer(MemoryMailer):
    """Holds every letter until ``gate`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        assert hold is not None  # the wait for a reply may be long here
        assert self.gate.wait(20)
        super().send(letter, hold=hold)


class EmailSetup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.mailer = GatedMailer()
        source = SyntheticSource(b"x" * 1000, self.clock)
        self.deps = Deps(Settings(), self.table, source, self.clock, self.clock, self.queue, self.mailer)
        self.emails = EmailThreads(self.deps, self.again, threads=THREADS)

    def again(self, task: Task, delay: float) -> None:
        self.queue.send(task.id, delay=delay)

    def add(self, *, email: str | None = "someone@abc.ru") -> str:
        mail = Mail.PENDING if email else Mail.NONE
        task = new_task(email=email, mail=mail, created_at=self.clock(), due_at=self.clock(), expires_at=10**10)
        self.table.add(task)
        return task.id

    def handle(self, task_id: str) -> None:
        handle(task_id, self.deps, deadline=Deadline.after(1000, clock=self.clock), post=self.emails.post)

    def mail(self, task_id: str) -> Mail:
        return self.table.get(task_id).mail


@pytest.fixture
def setup() -> EmailSetup:
    return EmailSetup()


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_hundred_emails_to_a_silent_server_keep_no_worker_from_the_next_file(setup: EmailSetup) -> None:
    """The bar is five seconds, for all of them together."""
    tasks = [setup.add() for _ in range(100)]
    began = time.monotonic()
    for task_id in tasks:
        setup.handle(task_id)  # would block for ever behind an email
    assert time.monotonic() - began < 5.0
    newcomer = setup.add(email=None)
    setup.handle(newcomer)
    assert setup.table.get(newcomer).md5 is not None
    assert all(setup.table.get(task_id).md5 for task_id in tasks)
    assert setup.emails.busy
    # The threads have one email each, and the others come again, none of them counted as a try.
    assert len(setup.queue.sent) == 100 - THREADS
    assert all(BUSY_SECONDS / 2 <= delay <= LONGEST_BUSY_SECONDS for _, delay in setup.queue.sent)
    assert {setup.table.get(task_id).attempts for task_id, _ in setup.queue.sent} == {0}
    setup.mailer.gate.set()
    setup.emails.wait(20)
    assert sum(setup.mail(task_id) is Mail.SENT for task_id in tasks) == THREADS


def test_emails_to_a_prompt_server_go_out_one_after_the_other(setup: EmailSetup) -> None:
    setup.mailer.gate.set()
    tasks = [setup.add() for _ in range(50)]
    for task_id in tasks:
        setup.handle(task_id)
    setup.emails.wait(20)
    assert len(setup.mailer.letters) == 50
    assert setup.queue.sent == []  # none had to come again


def test_all_emails_go_out_once_when_the_server_answers_again(setup: EmailSetup) -> None:
    tasks = [setup.add() for _ in range(12)]
    for task_id in tasks:
        setup.handle(task_id)
    setup.mailer.gate.set()
    while any(setup.mail(task_id) is Mail.PENDING for task_id in tasks):
        setup.emails.wait(20)
        setup.clock.now += LONGEST_BUSY_SECONDS
        waiting, setup.queue.sent = setup.queue.sent, []
        for task_id, _ in waiting:
            setup.handle(task_id)
    assert len(setup.mailer.letters) == len(tasks)


def test_an_email_that_is_put_off_comes_again_when_it_is_due(setup: EmailSetup) -> None:
    setup.mailer.gate.set()
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    task_id = setup.add()
    setup.handle(task_id)
    setup.emails.wait(20)
    assert setup.queue.sent == [(task_id, 60.0)]


def test_a_table_that_fails_leaves_the_email_owed_and_the_thread_free(
    setup: EmailSetup, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MARK_PAUSES_SECONDS", (0.01, 0.01))
    setup.mailer.gate.set()
    save = setup.table.save

    def fail_after_the_result(task: Task, *, over: Task, lease_before: float | None = None) -> None:
        save(task, over=over, lease_before=lease_before)
        setup.table.down = task.complete

    setup.table.save = fail_after_the_result  # type: ignore[method-assign]
    for _ in range(THREADS + 1):
        task_id = setup.add()
        setup.handle(task_id)
        setup.emails.wait(20)
        until(lambda: not setup.emails.busy)
        setup.table.down = False
        assert setup.mail(task_id) is Mail.PENDING
    assert setup.emails.reserve()
    assert "its email waits: the table does not answer" in caplog.text
