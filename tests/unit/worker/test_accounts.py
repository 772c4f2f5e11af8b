"""A task that ends is counted in the account of its client, once, by the writer of its end; its email in its own."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, MemoryTaskTable
from tests.support.stores.tables import new_task
from urlsum import service
from urlsum.deadline import Deadline
from urlsum.errors import HttpFailed, MailUnavailable, TableUnavailable
from urlsum.limits.account import Account
from urlsum.limits.limiter import Limiter
from urlsum.limits.quota import DAY
from urlsum.mail.suppression import Reason, suppress
from urlsum.settings import Settings
from urlsum.task import Mail, Status, Task
from urlsum.text import remarks
from urlsum.worker.delivery import handle
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = "198.51.100.7"
SIZE = 100_000


class Failing(MemoryTaskTable):
    """Runs ``before_end`` before a task is saved that has ended."""

    before_end: Callable[[], None] | None = None

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        if task.complete and not over.complete and self.before_end is not None:
            self.before_end()
        super().save(task, over=over, lease_before=lease_before)


class Setup:
    """A client that has submitted ``count`` tasks."""

    def __init__(self, count: int = 2, *, email: str | None = None, client: str | None = CLIENT) -> None:
        self.clock = Clock()
        self.table = Failing()
        self.records = MemoryRecords()
        self.queue = MemoryQueue()
        self.mailer = MemoryMailer()
        self.source = SyntheticSource(b"x" * SIZE, self.clock)
        self.settings = Settings(recipient_emails_per_day=2)
        self.limiter = Limiter(self.settings, self.table, self.records)
        self.ids = []
        for _ in range(count):
            now = self.clock()
            task = new_task(
                client=client,
                email=email,
                mail=Mail.PENDING if email else Mail.NONE,
                created_at=now,
                updated_at=now,
                due_at=now,
                expires_at=2**40,
            )
            self.limiter.admit(task)
            self.table.add(task)
            self.ids.append(task.id)

    def handle(self, number: int = 0, seconds: float = 10_000) -> Task | None:
        deps = Deps(
            self.settings, self.table, self.source, self.clock, self.clock, self.queue, self.mailer, self.records
        )
        return handle(self.ids[number], deps, deadline=Deadline.after(seconds, clock=self.clock))

    @property
    def account(self) -> tuple[int, int]:
        """How many tasks are unfinished, and how many bytes were read."""
        stored = self.records.read(f"client:{CLIENT}")
        assert stored is not None
        account = Account.load(stored.value)
        return sum(account.unfinished.values()), account.bytes


def test_a_task_that_is_done_counts_with_its_bytes() -> None:
    setup = Setup()
    setup.handle()
    assert setup.account == (1, SIZE)
    setup.handle()  # a message that comes twice
    assert setup.account == (1, SIZE)
    setup.handle(1)
    assert setup.account == (0, 2 * SIZE)


def test_a_slice_that_ends_before_the_file_does_counts_nothing() -> None:
    setup = Setup()
    setup.source.piece, setup.source.seconds = SIZE // 100, 1.0  # the file takes 100 s
    assert setup.handle(seconds=10) is not None
    assert setup.table.get(setup.ids[0]).status is Status.RUNNING
    assert setup.account == (2, 0)
    setup.handle()
    unfinished, received = setup.account
    assert (unfinished, received >= SIZE) == (1, True)


def test_a_task_that_failed_counts_too() -> None:
    setup = Setup()

    def refuse(_offset: int) -> None:
        raise HttpFailed(404, "not found")

    setup.source.fault = refuse
    setup.handle()
    assert setup.table.get(setup.ids[0]).status is Status.FAILED
    assert setup.account == (1, setup.table.get(setup.ids[0]).received)


def test_an_email_that_is_sent_by_a_later_delivery_does_not_count_the_task_again() -> None:
    setup = Setup(email="someone@example.org")
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    setup.handle()
    assert setup.account == (1, SIZE)
    setup.mailer.refuse_with = None
    setup.clock.now += 3600
    setup.handle()
    assert setup.table.get(setup.ids[0]).mail is Mail.SENT
    assert setup.account == (1, SIZE)


def test_of_a_worker_and_a_cancellation_the_one_that_ends_the_task_counts_it() -> None:
    setup = Setup()

    def cancel() -> None:
        setup.table.before_end = None
        service.cancel(setup.ids[0], table=setup.table, now=setup.clock(), limiter=setup.limiter)

    setup.table.before_end = cancel
    assert setup.handle() is None
    assert setup.table.get(setup.ids[0]).status is Status.CANCELLED
    assert setup.account[0] == 1


def test_an_account_that_cannot_be_written_leaves_the_result() -> None:
    setup = Setup(email="someone@example.org")

    def away() -> None:
        setup.records.down = True

    setup.table.before_end = away
    with pytest.raises(TableUnavailable):  # of the email's account: the message comes again
        setup.handle()
    assert setup.table.get(setup.ids[0]).status is Status.DONE
    setup.records.down = False
    setup.clock.now += 1000
    setup.handle()
    assert setup.table.get(setup.ids[0]).mail is Mail.SENT
    assert setup.account == (2, 0)  # it lapses with its day


def test_a_task_that_the_sweep_gives_up_counts() -> None:
    setup = Setup()
    task = setup.table.get(setup.ids[0])
    dead = replace(task.claimed(setup.clock(), 90), attempts=5, received=7)
    setup.table.save(dead, over=task)
    setup.clock.now += 1000
    for _ in range(2):
        sweep(setup.table, setup.queue, now=setup.clock(), settings=setup.settings, limiter=setup.limiter)
    assert setup.table.get(dead.id).status is Status.FAILED
    assert setup.account == (1, 7)


def test_a_task_of_a_client_without_limits_has_no_account() -> None:
    setup = Setup(client=None, count=3, email="someone@example.org")
    for number in range(3):
        setup.handle(number)
    assert not any(key.startswith("client:") for key in setup.records.records)
    assert len(setup.mailer.letters) == 3


def test_a_recipient_gets_so_many_results_a_day_and_the_others_say_so(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup(count=3, email="someone@example.org")
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            setup.handle(number)
    assert len(setup.mailer.letters) == 2
    sent, limited = (setup.table.get(setup.ids[number]) for number in (0, 2))
    assert (limited.status, limited.md5) == (sent.status, sent.md5) == (Status.DONE, setup.source.md5)
    assert (sent.mail, limited.mail, limited.due_at) == (Mail.SENT, Mail.FAILED, None)
    assert f"task {limited.id}: email given up: this recipient has had 2 emails" in caplog.text
    assert "someone" not in caplog.text
    assert [note.code for note in remarks.notes(limited)][-1] == remarks.EMAIL_LIMIT
    assert remarks.EMAIL_LIMIT not in [note.code for note in remarks.notes(sent)]


def test_the_limit_does_not_tell_who_has_unsubscribed() -> None:
    """A stranger who submits past the limit sees the same notes for a mailbox that gets nothing."""
    shown, states = [], []
    for unsubscribed in (False, True):
        setup = Setup(count=4, email="someone@example.org")
        if unsubscribed:
            suppress(setup.records, "someone@example.org", Reason.UNSUBSCRIBED, setup.clock())
        for number in range(4):
            setup.handle(number)
        tasks = [setup.table.get(task_id) for task_id in setup.ids]
        shown.append([[note.code for note in remarks.notes(task)] for task in tasks])
        states.append([task.mail for task in tasks])
        assert len(setup.mailer.letters) == (0 if unsubscribed else 2)
    assert shown[0] == shown[1]
    assert states[1] == [Mail.SUPPRESSED, Mail.SUPPRESSED, Mail.FAILED, Mail.FAILED]


def test_on_the_next_day_the_recipient_gets_results_again() -> None:
    setup = Setup(count=3, email="someone@example.org")
    setup.handle(0)
    setup.handle(1)
    setup.clock.now += DAY
    setup.handle(2)
    assert len(setup.mailer.letters) == 3


def test_a_task_without_facts_about_its_file_has_no_place_for_a_note() -> None:
    task = new_task()
    assert task.noted(remarks.EMAIL_LIMIT) == task
