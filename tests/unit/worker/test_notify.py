from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.support.stores.memory import MemoryMailer, MemoryRecords, MemoryTaskTable, secret
from urlsum.errors import (
    FailureCode,
    LeaseLost,
    MailRefused,
    MailUnanswered,
    MailUnavailable,
    NotDue,
    NothingToDo,
    TableUnavailable,
)
from urlsum.mail import ANSWER_SECONDS, SEND_SECONDS, Letter, suppression
from urlsum.mail.message import compose
from urlsum.secret.record import RecordSecret
from urlsum.settings import Settings
from urlsum.task import Failure, Mail, Status, Task
from urlsum.worker.notify import LEASE_SECONDS, MAX_TRIES, mail_delay, send_result_email

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.secret import Secret

WORKER_LEASE = 90.0
QUEUED = Task(
    id="0e4fac17-f367-4807-8c28-8a059a2f82ac",
    url="http://site.com/file.txt",
    created_at=0.0,
    updated_at=0.0,
    due_at=0.0,
    expires_at=10**9,
    email="example@abc.ru",
    mail=Mail.PENDING,
)


class FlakyTable(MemoryTaskTable):
    """Fails the next ``failures`` writes; before they are applied, or after when ``answer_lost``."""

    failures = 0
    answer_lost = False
    writes = 0

    def save(self, task: Task, *, over: Task, lease_before: float | None = None) -> None:
        self.writes += 1
        if self.failures:
            self.failures -= 1
            if self.answer_lost:
                super().save(task, over=over, lease_before=lease_before)
            raise TableUnavailable("the table does not answer")
        super().save(task, over=over, lease_before=lease_before)


class HookedMailer(MemoryMailer):
    """Runs ``hook`` while it has the letter in its hands."""

    hook: Callable[[], None] = staticmethod(lambda: None)

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        self.hook()
        super().send(letter, hold=hold)


@dataclass
class MailSetup:
    """One finished task whose email is pending, as its worker leaves it: committed, under the worker's lease."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    table: FlakyTable = field(default_factory=FlakyTable)
    mailer: HookedMailer = field(default_factory=HookedMailer)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    secret: Secret = secret
    public_url: str | None = None

    @property
    def suppressing(self) -> suppression.SuppressingMailer:
        return suppression.SuppressingMailer(self.mailer, self.records, clock=self.clock)

    @property
    def settings(self) -> Settings:
        return Settings(public_url=self.public_url)

    def clock(self) -> float:
        return self.now

    def __post_init__(self) -> None:
        self.done = QUEUED.claimed(self.now, WORKER_LEASE).done("0" * 32, 7, self.now)
        self.table.add(self.done)

    @property
    def stored(self) -> Task:
        return self.table.get(QUEUED.id)

    def claim(self) -> Task:
        before = self.stored
        task = before.claimed(self.now, WORKER_LEASE)
        self.table.save(task, over=before, lease_before=self.now)
        return task

    def send(self, task: Task) -> Task:
        return send_result_email(task, self, mailer=self.suppressing, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def setup() -> MailSetup:
    return MailSetup()


def test_the_mail_is_sent_and_noted(setup: MailSetup) -> None:
    after = setup.send(setup.done)
    assert setup.mailer.letters == [compose(setup.done, public_url=None)]
    assert after == setup.stored == setup.done.mailed(Mail.SENT, setup.now)
    assert after.due_at is None


def test_nothing_is_written_before_the_mail_is_out(setup: MailSetup) -> None:
    seen: list[Task] = []
    setup.mailer.hook = lambda: seen.append(setup.stored)
    setup.send(setup.done)
    assert seen == [setup.done]
    assert setup.table.writes == 1


def test_a_mail_that_is_noted_is_not_owed_any_more(setup: MailSetup) -> None:
    setup.send(setup.done)
    setup.now += 10**6
    with pytest.raises(NothingToDo):
        setup.claim()


def test_the_letter_links_to_the_public_url_and_to_its_unsubscription(setup: MailSetup) -> None:
    setup.public_url = "https://u.example/sums/"
    setup.send(setup.done)
    [letter] = setup.mailer.letters
    assert "Link:      https://u.example/sums/check?id=" in letter.body
    assert letter.unsubscribe == suppression.link(secret, "example@abc.ru", "https://u.example/sums/")
    assert f"\n{letter.unsubscribe}\n" in letter.body


def test_without_a_public_url_nobody_asks_for_the_secret(setup: MailSetup) -> None:
    def unavailable() -> bytes:
        raise TableUnavailable("the secret cannot be read")

    setup.secret = unavailable
    setup.send(setup.done)
    assert setup.mailer.letters == [compose(setup.done, public_url=None)]


@pytest.mark.parametrize("reason", suppression.Reason)
@pytest.mark.parametrize("address", ["example@abc.ru", "Example+x@ABC.ru"])
def test_a_suppressed_mailbox_gets_nothing_and_the_result_stays(
    setup: MailSetup, reason: suppression.Reason, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="urlsum")
    suppression.suppress(setup.records, address, reason, setup.now)
    after = setup.send(setup.done)
    assert setup.mailer.letters == []
    assert after == setup.stored == setup.done.mailed(Mail.SUPPRESSED, setup.now)
    assert (after.status, after.md5, after.due_at) == (Status.DONE, "0" * 32, None)
    with pytest.raises(NothingToDo):
        setup.claim()
    [line] = caplog.messages
    assert f"email suppressed: {reason}" in line
    assert "abc" not in line


def test_an_unsubscription_counts_between_two_tries(setup: MailSetup) -> None:
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    setup.send(setup.done)
    setup.mailer.refuse_with = None
    suppression.suppress(setup.records, "example@abc.ru", suppression.Reason.UNSUBSCRIBED, setup.now)
    setup.now += 60.0
    assert setup.send(setup.claim()).mail is Mail.SUPPRESSED
    assert setup.mailer.letters == []


@pytest.mark.parametrize("broken", ["records", "secret"])
def test_nothing_is_sent_before_it_is_known_whether_it_may_be(setup: MailSetup, broken: str) -> None:
    setup.public_url = "https://u.example"
    if broken == "records":
        setup.records.down = True
    else:
        setup.secret = RecordSecret(setup.records)
        setup.records.write("secret", "x", over=None, expires_at=0)
        setup.records.write = overtaken  # type: ignore[method-assign]
    with pytest.raises(TableUnavailable):
        setup.send(setup.done)
    assert setup.mailer.letters == []
    assert setup.stored.mail is Mail.PENDING


def overtaken(*_: object, **__: object) -> NoReturn:
    raise TableUnavailable("the store is down")


def test_a_refused_mail_is_given_up_at_once_and_the_result_stays(setup: MailSetup) -> None:
    setup.mailer.refuse_with = MailRefused("no such mailbox")
    after = setup.send(setup.done)
    assert after == setup.stored == setup.done.mailed(Mail.FAILED, setup.now)
    assert (after.status, after.md5, after.due_at) == (Status.DONE, "0" * 32, None)


def test_a_mail_that_cannot_go_out_now_is_put_off_and_the_lease_given_back(setup: MailSetup) -> None:
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    after = setup.send(setup.done)
    assert after == setup.stored == setup.done.released(setup.now, delay=60.0)
    assert (after.status, after.mail, after.due_at) == (Status.DONE, Mail.PENDING, setup.now + 60.0)
    with pytest.raises(NotDue):
        setup.claim()


def test_a_mail_that_was_put_off_goes_out_when_it_is_due(setup: MailSetup) -> None:
    setup.mailer.refuse_with = MailUnavailable("greylisted")
    setup.send(setup.done)
    setup.mailer.refuse_with = None
    setup.now += 60.0
    assert setup.send(setup.claim()).mail is Mail.SENT
    assert len(setup.mailer.letters) == 1


def test_a_mail_system_that_stays_away_is_asked_thirty_times_in_a_day_and_then_given_up(setup: MailSetup) -> None:
    setup.mailer.refuse_with = MailUnavailable("down")
    tries = 1
    task = setup.send(setup.done)
    while task.due_at is not None:
        setup.now = task.due_at
        task = setup.send(setup.claim())
        tries += 1
    assert (tries, task.mail, task.status) == (MAX_TRIES, Mail.FAILED, Status.DONE)
    assert 24.0 <= (setup.now - 1000.0) / 3600 <= 24.5


def test_the_pauses_double_up_to_an_hour_and_stay_finite() -> None:
    assert [mail_delay(n) / 60 for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert mail_delay(10**9) == 3600.0


def test_workers_that_die_while_sending_are_counted_too_so_that_a_deadly_mail_ends(setup: MailSetup) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    setup.mailer.hook = die
    task, tries = setup.done, 0
    while task.mail is Mail.PENDING:
        tries += 1
        try:
            task = setup.send(task)
        except KeyboardInterrupt:
            setup.now += WORKER_LEASE + LEASE_SECONDS
            task = setup.claim()
    assert (tries, setup.stored.mail) == (MAX_TRIES + 1, Mail.FAILED)
    assert setup.mailer.letters == []


def test_a_crash_between_sending_and_noting_costs_one_more_mail_and_only_one(setup: MailSetup) -> None:
    setup.table.failures = 3
    with pytest.raises(TableUnavailable):
        setup.send(setup.done)
    assert setup.stored.mail is Mail.PENDING
    setup.now += WORKER_LEASE + 1
    setup.send(setup.claim())
    setup.now += 10**6
    with pytest.raises(NothingToDo):
        setup.claim()
    first, second = setup.mailer.letters
    assert first == second


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("answer_lost", [False, True], ids=["write lost", "answer lost"])
def test_a_table_that_stumbles_after_the_mail_is_asked_again_and_the_mail_is_not(
    setup: MailSetup, failures: int, answer_lost: bool
) -> None:
    setup.table.failures, setup.table.answer_lost = failures, answer_lost
    after = setup.send(setup.done)
    assert after == setup.stored
    assert (after.mail, len(setup.mailer.letters)) == (Mail.SENT, 1)
    assert setup.slept == [0.5, 2.0][:failures]


def test_a_worker_that_lost_its_lease_while_it_slept_sends_nothing(setup: MailSetup) -> None:
    setup.now += WORKER_LEASE + 1
    other = setup.claim()
    with pytest.raises(LeaseLost):
        setup.send(setup.done)
    assert setup.mailer.letters == []
    assert setup.stored == other


def test_a_worker_that_is_overtaken_while_sending_notes_nothing(setup: MailSetup) -> None:
    def overtake() -> None:
        setup.now += WORKER_LEASE + 1
        setup.claim()

    setup.mailer.hook = overtake
    with pytest.raises(LeaseLost):
        setup.send(setup.done)
    assert setup.stored.mail is Mail.PENDING
    assert setup.stored.fence == setup.done.fence + 1


def test_a_lease_that_would_lapse_while_sending_is_renewed_first(setup: MailSetup) -> None:
    setup.now += WORKER_LEASE - 1
    lease: list[float] = []

    def slow() -> None:
        lease.append(setup.stored.lease_until - setup.now)
        setup.now += SEND_SECONDS

    setup.mailer.hook = slow
    after = setup.send(setup.done)
    assert lease == [LEASE_SECONDS]
    assert after == setup.stored
    assert after.mail is Mail.SENT


def test_a_table_that_is_away_before_the_mail_keeps_it_from_going_out_on_a_lease_too_short(setup: MailSetup) -> None:
    setup.now += WORKER_LEASE - 1
    setup.table.failures = 1
    with pytest.raises(TableUnavailable):
        setup.send(setup.done)
    assert setup.mailer.letters == []


class SilentMailer(MemoryMailer):
    """Takes every letter, asks for time, and never replies."""

    def __init__(self, setup: MailSetup) -> None:
        super().__init__()
        self.setup = setup
        self.allowed: list[bool] = []
        self.dies = False

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        super().send(letter, hold=hold)
        if hold is not None:
            self.allowed.append(hold(ANSWER_SECONDS))
            assert self.setup.stored.lease_until >= self.setup.now + ANSWER_SECONDS
            self.setup.now += ANSWER_SECONDS
        if self.dies:
            raise KeyboardInterrupt
        raise MailUnanswered("the mail server did not answer in time")


def send_until_settled(setup: MailSetup, mailer: SilentMailer, *, patient: bool) -> Task:
    task = setup.done
    while task.mail is Mail.PENDING:
        try:
            task = send_result_email(task, setup, mailer=mailer, patient=patient, sleep=setup.sleep)
        except KeyboardInterrupt:
            setup.now += ANSWER_SECONDS + LEASE_SECONDS + WORKER_LEASE
        if task.mail is Mail.PENDING:
            setup.now += 3600
            task = setup.claim()
    return task


# A worker that dies before the long wait is one of those that are counted by their claims.
@pytest.mark.parametrize(("patient", "dies"), [(True, False), (True, True), (False, False)])
def test_an_email_without_a_reply_goes_out_twice_at_most(setup: MailSetup, patient: bool, dies: bool) -> None:
    mailer = SilentMailer(setup)
    mailer.dies = dies
    task = send_until_settled(setup, mailer, patient=patient)
    assert len(mailer.letters) == 2
    assert task == setup.stored
    assert (task.mail, task.status) == (Mail.FAILED, Status.DONE)


def test_a_reply_that_comes_late_settles_the_email(setup: MailSetup) -> None:
    class LateMailer(SilentMailer):
        def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
            with suppress(MailUnanswered):
                super().send(letter, hold=hold)

    mailer = LateMailer(setup)
    assert send_result_email(setup.done, setup, mailer=mailer, patient=True).mail is Mail.SENT
    assert setup.stored.mail is Mail.SENT
    assert mailer.allowed == [True]


def test_without_a_table_to_count_in_an_email_without_a_reply_is_not_repeated(setup: MailSetup) -> None:
    setup.records.down = True
    mailer = SilentMailer(setup)
    assert send_until_settled(setup, mailer, patient=False).mail is Mail.FAILED
    assert len(mailer.letters) == 1


def test_a_lease_that_cannot_be_extended_shortens_the_wait(setup: MailSetup) -> None:
    class ImpatientMailer(MemoryMailer):
        allowed: bool | None = None

        def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
            assert hold is not None
            setup.table.failures = 1
            self.allowed = hold(ANSWER_SECONDS)

    mailer = ImpatientMailer()
    assert send_result_email(setup.done, setup, mailer=mailer, patient=True).mail is Mail.SENT
    assert mailer.allowed is False


def test_the_log_names_the_task_and_the_reason_but_not_the_recipient(
    setup: MailSetup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.mailer.refuse_with = MailRefused("no such mailbox")
    setup.send(setup.done)
    assert f"task {QUEUED.id}: email refused: no such mailbox" in caplog.text
    assert "example@abc.ru" not in caplog.text


def test_the_mail_of_a_failure_goes_the_same_way(setup: MailSetup) -> None:
    del setup.table.tasks[QUEUED.id]
    failed = QUEUED.claimed(setup.now, WORKER_LEASE).failed(Failure(FailureCode.HTTP, "404"), setup.now)
    setup.table.add(failed)
    assert setup.send(failed).mail is Mail.SENT
    assert setup.mailer.letters[0].subject == "No MD5 for file.txt (http)"
