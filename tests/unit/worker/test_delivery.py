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
from urlsum.worker.turns import Turn

ID = "0e4fac17-0000-4000-8000-000000000000"


class DeliverySetup:
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
    setup = DeliverySetup()
    setup.handle()
    assert (setup.stored.md5, setup.stored.mail) == (setup.source.md5, Mail.SENT)
    assert [letter.to for letter in setup.mailer.letters] == ["someone@abc.ru"]
    assert setup.queue.sent == []


def test_further_deliveries_change_nothing() -> None:
    setup = DeliverySetup()
    setup.handle()
    settled = setup.stored
    for _ in range(3):
        setup.clock.now += 1000
        assert setup.handle() is None
    assert setup.stored == settled
    assert len(setup.mailer.letters) == 1


def test_a_delivery_of_an_unknown_task_is_dropped() -> None:
    setup = DeliverySetup()
    setup.table.remove(setup.stored)
    assert setup.handle() is None


def test_the_deadline_asks_for_the_next_slice() -> None:
    setup = DeliverySetup()
    setup.handle(seconds=20)
    assert setup.queue.sent == [(ID, 0.0)]
    assert setup.mailer.letters == []


def test_a_failure_that_may_pass_delays_the_next_delivery() -> None:
    setup = DeliverySetup()

    def cut(offset: int) -> None:
        raise Incomplete("cut")

    setup.source.fault = cut
    setup.handle()
    [(_, delay)] = setup.queue.sent
    assert 0 < delay <= 5


def test_the_next_message_waits_where_its_task_belongs() -> None:
    setup = DeliverySetup()

    def cut(offset: int) -> None:
        raise Incomplete("cut")

    setup.source.fault = cut
    setup.handle()
    assert setup.queue.continued == []  # it took no time
    setup.clock.now += 100
    setup.source.fault = lambda offset: None
    setup.handle(seconds=20)
    assert setup.queue.continued == [ID]
    assert handle(ID, setup.deps, deadline=setup.deadline(), turn=Turn()) is None  # a stray message
    assert setup.queue.continued == [ID, ID]


def test_a_delivery_that_comes_too_early_is_sent_on() -> None:
    setup = DeliverySetup()
    setup.table.save(replace(setup.stored, not_before=setup.clock() + 3600), over=setup.stored)
    assert setup.handle() is None
    assert setup.queue.sent == [(ID, 3600.0)]
    assert setup.source.opened == []


def test_a_message_that_meets_another_holder_is_done_with_and_changes_nothing() -> None:
    setup = DeliverySetup()
    held = setup.stored.claimed(setup.clock(), 90)
    setup.table.save(held, over=setup.stored)
    assert setup.handle() is None
    assert setup.stored == held
    assert (setup.source.opened, setup.queue.sent) == ([], [])


def test_a_task_that_is_cancelled_is_left_at_the_next_checkpoint_without_a_word() -> None:
    setup = DeliverySetup()

    def cancel(offset: int) -> None:
        if offset == 30_000:
            stored = setup.stored
            setup.table.save(stored.cancelled(setup.clock()), over=stored)

    setup.source.fault = cancel
    began = setup.clock()
    assert setup.handle() is None
    assert setup.clock() - began <= 30 + setup.deps.settings.checkpoint_seconds  # a kilobyte a second
    assert (setup.stored.status, setup.stored.md5, setup.stored.due_at) == (Status.CANCELLED, None, None)
    assert (setup.mailer.letters, setup.queue.sent) == ([], [])
    assert setup.handle() is None


def test_a_mail_that_is_put_off_is_tried_again_without_hashing_again() -> None:
    setup = DeliverySetup()
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    setup.handle()
    assert (setup.stored.status, setup.stored.mail) == (Status.DONE, Mail.PENDING)
    [(_, delay)] = setup.queue.sent
    assert delay >= 60
    setup.clock.now += delay
    setup.mailer.refuse_with = None
    setup.handle()
    assert setup.stored.mail is Mail.SENT
    assert len(setup.mailer.letters) == 1
    assert setup.source.opened == [0]


def test_a_result_outlives_a_queue_that_is_down() -> None:
    setup = DeliverySetup()
    setup.queue.down = True
    with pytest.raises(QueueUnavailable):
        setup.handle(seconds=20)
    assert setup.stored.offset > 0
    setup.queue.down = False
    setup.handle()
    assert setup.stored.md5 == setup.source.md5


def test_a_table_that_is_down_leaves_the_message_to_come_again() -> None:
    setup = DeliverySetup()
    setup.table.down = True
    with pytest.raises(TableUnavailable):
        setup.handle()
    assert setup.mailer.letters == []


def test_a_failed_task_is_mailed_too() -> None:
    setup = DeliverySetup()

    def bug(offset: int) -> None:
        raise ZeroDivisionError

    setup.source.fault = bug
    for _ in range(Settings().max_attempts):
        setup.handle()
        setup.clock.now += 1000
    assert setup.stored.status is Status.FAILED
    assert len(setup.mailer.letters) == 1


def test_without_an_address_nothing_is_mailed() -> None:
    setup = DeliverySetup(email=None)
    setup.handle()
    assert setup.stored.status is Status.DONE
    assert setup.mailer.letters == []


def test_a_message_that_was_handled_is_logged_and_its_task_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "urlsum")
    setup = DeliverySetup()
    seen: list[Task] = []
    assert handle_message(encode(ID), setup.deps, deadline=setup.deadline(), after_slice=seen.append)
    assert seen == [setup.stored]
    assert f"task {ID}: done at 100000 bytes" in caplog.messages
    assert handle_message(encode(ID), setup.deps, deadline=setup.deadline(), after_slice=seen.append)
    assert len(seen) == 1  # there was nothing left to do


def test_a_message_for_a_table_that_is_down_must_come_again(caplog: pytest.LogCaptureFixture) -> None:
    setup = DeliverySetup()
    setup.table.down = True
    assert not handle_message(encode(ID), setup.deps, deadline=setup.deadline())
    [record] = caplog.records
    assert record.getMessage().startswith(f"{encode(ID)}: TableUnavailable: ")
    assert record.exc_info is None


def test_a_bug_is_logged_with_its_traceback_and_the_message_comes_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = DeliverySetup()

    def bug(task_id: str) -> Task:
        raise ZeroDivisionError

    monkeypatch.setattr(setup.table, "get", bug)
    assert not handle_message(encode(ID), setup.deps, deadline=setup.deadline())
    [record] = caplog.records
    assert record.exc_info is not None


def test_a_foreign_message_is_given_back_and_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    setup = DeliverySetup()
    assert not handle_message("x" * 1000, setup.deps, deadline=setup.deadline())
    [record] = caplog.records
    assert record.getMessage().startswith("x" * MESSAGE_CHARACTERS + ": JSONDecodeError: ")
