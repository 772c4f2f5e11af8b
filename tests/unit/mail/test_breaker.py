from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.memory import MemoryMailer
from urlsum.errors import MailError, MailRefused, MailSystemDown, MailUnanswered, MailUnavailable
from urlsum.mail import Letter
from urlsum.mail.breaker import OPEN_SECONDS, BreakerMailer
from urlsum.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

LETTER = Letter("reader@abc.ru", "subject", "body\n")


class CountingMailer(MemoryMailer):
    """Counts its tries."""

    tries = 0
    hook: Callable[[], None] = staticmethod(lambda: None)

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        self.tries += 1
        self.hook()
        super().send(letter, hold=hold)


class Setup:
    def __init__(self) -> None:
        self.now = 0.0
        self.inner = CountingMailer()
        self.mailer = BreakerMailer(self.inner, Outage("the mail system"), monotonic=lambda: self.now)

    def send(self) -> MailError | None:
        try:
            self.mailer.send(LETTER)
        except MailError as error:
            return error
        return None


@pytest.fixture
def setup() -> Setup:
    return Setup()


@pytest.mark.parametrize("kind", [MailSystemDown, MailUnanswered])
def test_a_system_that_is_down_is_tried_once_a_minute(
    setup: Setup, kind: type[MailSystemDown], caplog: pytest.LogCaptureFixture
) -> None:
    setup.inner.refuse_with = kind("no answer")
    for _ in range(100):
        assert isinstance(setup.send(), MailSystemDown)
    assert setup.inner.tries == 1
    setup.now += OPEN_SECONDS
    assert [isinstance(setup.send(), MailSystemDown) for _ in range(3)] == [True] * 3
    assert setup.inner.tries == 2
    setup.inner.refuse_with = None
    setup.now += OPEN_SECONDS
    assert [setup.send() for _ in range(3)] == [None] * 3
    assert caplog.messages[0] == "no answer"
    assert caplog.messages[-1].startswith("the mail system works again: 2 failures in ")


@pytest.mark.parametrize("error", [MailRefused("no such mailbox"), MailUnavailable("greylisted")])
def test_what_concerns_one_email_spares_nothing_to_the_others(setup: Setup, error: MailError) -> None:
    setup.inner.refuse_with = error
    assert [setup.send() for _ in range(3)] == [error] * 3
    assert setup.inner.tries == 3


def test_an_email_that_a_system_judges_after_an_outage_ends_the_outage(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.inner.refuse_with = MailSystemDown("no answer")
    setup.send()
    setup.now += OPEN_SECONDS
    setup.inner.refuse_with = MailRefused("no such mailbox")
    setup.send()
    assert caplog.messages[-1].startswith("the mail system works again")
    setup.inner.refuse_with = None
    assert setup.send() is None


def test_while_one_email_is_the_try_the_others_do_not_wait_for_it(setup: Setup) -> None:
    setup.inner.refuse_with = MailSystemDown("no answer")
    setup.send()
    setup.now += OPEN_SECONDS
    inside, go = threading.Event(), threading.Event()

    def silent() -> None:
        inside.set()
        go.wait(10)

    setup.inner.hook = silent
    thread = threading.Thread(target=setup.send)
    thread.start()
    assert inside.wait(10)
    assert isinstance(setup.send(), MailSystemDown)
    go.set()
    thread.join()
    assert setup.inner.tries == 2


def test_a_try_that_is_interrupted_makes_room_for_the_next(setup: Setup) -> None:
    setup.inner.refuse_with = MailSystemDown("no answer")
    setup.send()
    setup.now += OPEN_SECONDS
    setup.inner.refuse_with = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        setup.send()
    setup.inner.refuse_with = None
    assert setup.send() is None


def test_a_system_that_works_gets_several_emails_at_once_from_the_first(setup: Setup) -> None:
    others = []

    def meanwhile() -> None:
        setup.inner.hook = lambda: None
        others.append(setup.send())

    for _ in range(2):
        setup.inner.hook = meanwhile
        assert setup.send() is None
    assert others == [None, None]
