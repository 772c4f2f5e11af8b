from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.deps import Deps
from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryTaskTable
from urlsum.deadline import Deadline
from urlsum.errors import Incomplete, MailUnavailable, QueueUnavailable, TableUnavailable
from urlsum.queues import encode
from urlsum.settings import Settings
from urlsum.task import Mail, Status, Task
from urlsum.worker.delivery import MESSAGE_CHARACTERS, handle, handle_message

ID = "0e4fac17-0000-4000-8000-000000000000"


class Desk:
    def __init__(self, *, email: str | None = "someone@abc.ru") -> None:
        self.clock = Clock()
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.mailer = MemoryMailer()
        self.source = SyntheticSource(b"x" * 100_000, self.clock)
        self.deps = Deps(Settings(), self.table, self.source, self.clock, self.clock, self.queue, self.mailer)
        now = self.clock()
        self.table.add(
            Task(
                id=ID,
                url="https://o.example/f",
                email=email,
                mail=Mail.PENDING if email else Mail.NONE,
                created_at=now,
                updated_at=now,
                due_at=now,
                expires_at=2_000_000,
            )
        )

    def deadline(self, seconds: float = 10_000) -> Deadline:
        return Deadline.after(seconds, clock=self.clock)

    def handle(self, seconds: float = 10_000) -> Task | None:
        return handle(ID, self.deps, deadline=self.deadline(seconds))

    @property
    def stored(self) -> Task:
        return self.table.get(ID)


def test_one_delivery_hashes_and_mails() -> None:
    desk = Desk()
    desk.handle()
    assert (desk.stored.md5, desk.stored.mail) == (desk.source.md5, Mail.SENT)
    assert [letter.to for letter in desk.mailer.letters] == ["someone@abc.ru"]
    assert desk.queue.sent == []


def test_further_deliveries_change_nothing() -> None:
    desk = Desk()
    desk.handle()
    settled = desk.stored
    for _ in range(3):
        desk.clock.now += 1000
        assert desk.handle() is None
    assert desk.stored == settled
    assert len(desk.mailer.letters) == 1


def test_a_delivery_of_an_unknown_task_is_dropped() -> None:
    desk = Desk()
    desk.table.remove(desk.stored)
    assert desk.handle() is None


def test_the_deadline_asks_for_the_next_slice() -> None:
    desk = Desk()
    desk.handle(seconds=20)
    assert desk.queue.sent == [(ID, 0.0)]
    assert desk.mailer.letters == []


def test_a_failure_that_may_pass_delays_the_next_delivery() -> None:
    desk = Desk()

    def cut(offset: int) -> None:
        raise Incomplete("cut")

    desk.source.fault = cut
    desk.handle()
    [(_, delay)] = desk.queue.sent
    assert 0 < delay <= 5


def test_a_delivery_that_comes_too_early_is_sent_on() -> None:
    desk = Desk()
    desk.table.save(replace(desk.stored, not_before=desk.clock() + 3600), over=desk.stored)
    assert desk.handle() is None
    assert desk.queue.sent == [(ID, 3600.0)]
    assert desk.source.opened == []


def test_a_message_that_meets_another_holder_is_done_with_and_changes_nothing() -> None:
    desk = Desk()
    held = desk.stored.claimed(desk.clock(), 90)
    desk.table.save(held, over=desk.stored)
    assert desk.handle() is None
    assert desk.stored == held
    assert (desk.source.opened, desk.queue.sent) == ([], [])


def test_a_task_that_is_cancelled_is_left_at_the_next_checkpoint_without_a_word() -> None:
    desk = Desk()

    def cancel(offset: int) -> None:
        if offset == 30_000:
            stored = desk.stored
            desk.table.save(stored.cancelled(desk.clock()), over=stored)

    desk.source.fault = cancel
    began = desk.clock()
    assert desk.handle() is None
    assert desk.clock() - began <= 30 + desk.deps.settings.checkpoint_seconds  # a kilobyte a second
    assert (desk.stored.status, desk.stored.md5, desk.stored.due_at) == (Status.CANCELLED, None, None)
    assert (desk.mailer.letters, desk.queue.sent) == ([], [])
    assert desk.handle() is None


def test_a_mail_that_is_put_off_is_tried_again_without_hashing_again() -> None:
    desk = Desk()
    desk.mailer.refuse_with = MailUnavailable("greylisted")
    desk.handle()
    assert (desk.stored.status, desk.stored.mail) == (Status.DONE, Mail.PENDING)
    [(_, delay)] = desk.queue.sent
    assert delay >= 60
    desk.clock.now += delay
    desk.mailer.refuse_with = None
    desk.handle()
    assert desk.stored.mail is Mail.SENT
    assert len(desk.mailer.letters) == 1
    assert desk.source.opened == [0]


def test_a_result_outlives_a_queue_that_is_down() -> None:
    desk = Desk()
    desk.queue.down = True
    with pytest.raises(QueueUnavailable):
        desk.handle(seconds=20)
    assert desk.stored.offset > 0
    desk.queue.down = False
    desk.handle()
    assert desk.stored.md5 == desk.source.md5


def test_a_table_that_is_down_leaves_the_message_to_come_again() -> None:
    desk = Desk()
    desk.table.down = True
    with pytest.raises(TableUnavailable):
        desk.handle()
    assert desk.mailer.letters == []


def test_a_failed_task_is_mailed_too() -> None:
    desk = Desk()

    def bug(offset: int) -> None:
        raise ZeroDivisionError

    desk.source.fault = bug
    for _ in range(Settings().max_attempts):
        desk.handle()
        desk.clock.now += 1000
    assert desk.stored.status is Status.FAILED
    assert len(desk.mailer.letters) == 1


def test_without_an_address_nothing_is_mailed() -> None:
    desk = Desk(email=None)
    desk.handle()
    assert desk.stored.status is Status.DONE
    assert desk.mailer.letters == []


def test_a_message_that_was_handled_is_logged_and_its_task_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "urlsum")
    desk = Desk()
    seen: list[Task] = []
    assert handle_message(encode(ID), desk.deps, deadline=desk.deadline(), after_slice=seen.append)
    assert seen == [desk.stored]
    assert f"task {ID}: done at 100000 bytes" in caplog.messages
    assert handle_message(encode(ID), desk.deps, deadline=desk.deadline(), after_slice=seen.append)
    assert len(seen) == 1  # there was nothing left to do


def test_a_message_for_a_table_that_is_down_must_come_again(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.table.down = True
    assert not handle_message(encode(ID), desk.deps, deadline=desk.deadline())
    [record] = caplog.records
    assert record.getMessage().startswith(f"{encode(ID)}: TableUnavailable: ")
    assert record.exc_info is None


def test_a_bug_is_logged_with_its_traceback_and_the_message_comes_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()

    def bug(task_id: str) -> Task:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.table, "get", bug)
    assert not handle_message(encode(ID), desk.deps, deadline=desk.deadline())
    [record] = caplog.records
    assert record.exc_info is not None


def test_a_foreign_message_is_given_back_and_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    assert not handle_message("x" * 1000, desk.deps, deadline=desk.deadline())
    [record] = caplog.records
    assert record.getMessage().startswith("x" * MESSAGE_CHARACTERS + ": JSONDecodeError: ")
