"""The emails that RQ's workers leave to the server, in a real Redis."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from selfhost.rq_emails import RqEmails
from tests.support.stores.every_queue import RedisRig, redis_rig
from tests.support.stores.memory import MemoryMailer, MemoryRecords, MemoryTaskTable, secret
from tests.support.stores.tables import new_task
from urlsum import wiring
from urlsum.errors import MailUnavailable, QueueUnavailable
from urlsum.settings import Settings
from urlsum.task import Mail, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urlsum.mail import Letter
    from urlsum.wiring import Services


class GatedMailer(MemoryMailer):
    """Holds every letter until ``gate`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.began = 0

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        self.began += 1
        assert self.gate.wait(20)
        super().send(letter, hold=hold)


class EmailSetup:
    def __init__(self, rig: RedisRig) -> None:
        self.queue = rig.redis
        self.key = self.queue._emails_key
        self.redis: Any = rig.rq.connection
        self.table = MemoryTaskTable()
        self.mailer = GatedMailer()
        self.emails = RqEmails(self.services(), self.queue, look_seconds=0.02)

    def services(self) -> Services:
        wired = wiring.wire(Settings())
        return wiring.Services(
            settings=wired.settings,
            table=self.table,
            records=MemoryRecords(),
            secret=secret,
            queue=self.queue,
            mailer=self.mailer,
            guard=wired.guard,
            source=wired.source,
        )

    def finished(self) -> Task:
        """A task as a worker leaves it to the server."""
        now = time.time()
        task = new_task(email="a@abc.ru", mail=Mail.PENDING, created_at=now, expires_at=10**10)
        task = task.claimed(now, 90).done("0" * 32, 7, now).waiting(now, delay=0)
        self.table.add(task)
        self.queue.send_email(task.id)
        return task

    def mail(self, task: Task) -> Mail:
        return self.table.get(task.id).mail


@pytest.fixture
def setup() -> Iterator[EmailSetup]:
    with redis_rig() as rig:
        made = EmailSetup(rig)
        yield made
        made.mailer.gate.set()
        made.emails.stop()
        made.redis.delete(made.key)


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_the_server_sends_what_the_workers_left_and_each_once(setup: EmailSetup) -> None:
    tasks = [setup.finished() for _ in range(5)]
    setup.queue.send_email(tasks[0].id)  # as a second delivery would
    setup.mailer.gate.set()
    setup.emails.start()
    until(lambda: all(setup.mail(task) is Mail.SENT for task in tasks))
    assert len(setup.mailer.letters) == 5
    assert setup.queue.take_email() is None


def test_a_silent_mail_server_holds_two_threads_and_the_others_wait_in_redis(setup: EmailSetup) -> None:
    tasks = [setup.finished() for _ in range(5)]
    setup.emails.start()
    until(lambda: setup.mailer.began == 2)
    time.sleep(0.2)
    assert (setup.mailer.began, setup.redis.zcard(setup.key)) == (2, 3)
    assert sum(setup.table.get(task.id).lease_until > time.time() for task in tasks) == 2


def test_an_email_that_is_put_off_waits_in_redis_until_it_is_due(setup: EmailSetup) -> None:
    task = setup.finished()
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    setup.mailer.gate.set()
    setup.emails.start()
    until(lambda: setup.mailer.began == 1 and setup.redis.zcard(setup.key) == 1)
    assert setup.redis.zscore(setup.key, task.id) > time.time() + 50
    assert setup.queue.take_email() is None


def test_what_is_no_finished_task_goes_to_the_workers_or_nowhere(setup: EmailSetup) -> None:
    running = new_task(due_at=time.time())
    setup.table.add(running)
    setup.queue.send_email(running.id)
    setup.queue.send_email(new_task().id)
    setup.emails.start()
    until(lambda: setup.redis.zcard(setup.key) == 0)
    until(lambda: setup.queue.count_waiting(60).first == 1)
    assert setup.mailer.began == 0


def test_a_table_that_is_away_costs_no_email(setup: EmailSetup) -> None:
    task = setup.finished()
    setup.table.down = True
    setup.mailer.gate.set()
    setup.emails.start()
    until(lambda: (setup.redis.zscore(setup.key, task.id) or 0) > time.time() + 1)
    setup.table.down = False
    setup.queue.send_email(task.id)
    until(lambda: setup.mail(task) is Mail.SENT)


def test_a_redis_that_is_away_is_one_line_and_no_email_is_lost(
    setup: EmailSetup, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, tries = setup.finished(), 0
    take = setup.queue.take_email

    def fail() -> str | None:
        nonlocal tries
        tries += 1
        raise QueueUnavailable("Redis: no answer")

    monkeypatch.setattr(setup.queue, "take_email", fail)
    setup.mailer.gate.set()
    setup.emails.start()
    until(lambda: tries > 10)
    monkeypatch.setattr(setup.queue, "take_email", take)
    until(lambda: setup.mail(task) is Mail.SENT)
    assert [message for message in caplog.messages if "no answer" in message] == ["Redis: no answer"]


def test_a_full_redis_is_told_from_one_that_takes_messages(setup: EmailSetup) -> None:
    setup.queue.check_send()
    away = type(setup.queue)(
        type(setup.redis)(port=9, socket_connect_timeout=0.2), "urlsum-test", slice_seconds=240, lease_seconds=90
    )
    for call in (away.check_send, away.take_email, lambda: away.send_email("x")):
        with pytest.raises(QueueUnavailable):
            call()
