from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryMailer, MemoryRecords
from urlsum.errors import MailLimited, MailRefused, MailUnavailable, TableUnavailable
from urlsum.limits.quota import DAY
from urlsum.limits.recipients import LimitedMailer, digest
from urlsum.mail import Letter

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_728_000_000.0


class Setup:
    def __init__(self, most: int = 2) -> None:
        self.now = NOW
        self.records = MemoryRecords()
        self.inner = MemoryMailer()
        self.mailer = LimitedMailer(self.inner, self.records, most=most, clock=lambda: self.now)

    def send(self, to: str = "someone@example.org") -> None:
        self.mailer.send(Letter(to=to, subject="s", body="b"))


def test_a_mailbox_gets_so_many_emails_a_day_however_it_is_spelt() -> None:
    setup = Setup()
    setup.send("J.Doe@gmail.com")
    setup.now += 60
    setup.send("jdoe+more@googlemail.com")
    with pytest.raises(MailLimited, match="2 emails"):
        setup.send("jdoe@gmail.com")
    assert [letter.to for letter in setup.inner.letters] == ["J.Doe@gmail.com", "jdoe+more@googlemail.com"]
    setup.send("another@gmail.com")
    setup.now = NOW + DAY
    setup.send("jdoe@gmail.com")


def test_an_email_that_waits_for_the_mail_server_counts_once_it_is_sent() -> None:
    setup = Setup(most=1)
    setup.inner.refuse_with = MailUnavailable("greylisted")
    for _ in range(3):
        with pytest.raises(MailUnavailable):
            setup.send()
    setup.inner.refuse_with = None
    setup.send()
    with pytest.raises(MailLimited):
        setup.send()


def test_a_refused_email_counts_because_the_mail_server_saw_it() -> None:
    setup = Setup(most=1)
    setup.inner.refuse_with = MailRefused("no such mailbox")
    with pytest.raises(MailRefused, match="no such"):
        setup.send()
    with pytest.raises(MailLimited):
        setup.send()


def test_zero_switches_the_limit_off_and_needs_no_table() -> None:
    setup = Setup(most=0)
    setup.records.down = True
    for _ in range(3):
        setup.send()


def test_without_the_table_nothing_is_sent() -> None:
    setup = Setup()
    setup.records.down = True
    with pytest.raises(TableUnavailable):
        setup.send()
    assert setup.inner.letters == []


def test_a_table_that_fails_after_the_mail_server_leaves_the_error_of_the_mail_server() -> None:
    setup = Setup()

    class Closing(MemoryMailer):
        def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
            setup.records.down = True
            raise MailUnavailable("away")

    mailer = LimitedMailer(Closing(), setup.records, most=2, clock=lambda: NOW)
    with pytest.raises(MailUnavailable):
        mailer.send(Letter(to="a@example.org", subject="", body=""))


def test_the_key_names_nobody_and_an_operator_can_compute_it() -> None:
    setup = Setup()
    setup.send()
    [key] = setup.records.records
    assert key == "recipient:" + hashlib.sha256(b"someone@example.org").hexdigest()[:32]
    assert key == f"recipient:{digest('Someone+x@example.org')}"


def test_a_record_that_somebody_edited_is_a_new_one() -> None:
    setup = Setup()
    setup.records.write(f"recipient:{digest('someone@example.org')}", "{}", over=None, expires_at=NOW + DAY)
    setup.send()
    setup.send()
    with pytest.raises(MailLimited):
        setup.send()
