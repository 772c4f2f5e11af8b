"""The result email, at-least-once: sent by the holder of the lease, then marked in the table, retried for a day.

The result is committed before, and the lease keeps other workers away, so nothing is written before the email goes out.
A second email is sent in two cases. The worker dies between sending and marking: the lease lapses, and the next claim
sends the email again, once per crash. Or the mail server accepts the email and its response is lost: an email without
a reply is sent at most twice. A mark *before* sending would turn both cases into a lost email, which nobody would
notice.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from urlsum import tables
from urlsum.errors import (
    MailLimited,
    MailRefused,
    MailSuppressed,
    MailSystemDown,
    MailUnanswered,
    MailUnavailable,
    TableUnavailable,
)
from urlsum.mail import SEND_SECONDS, suppression
from urlsum.mail.message import compose
from urlsum.tables import Change
from urlsum.task import Mail
from urlsum.text import remarks
from urlsum.worker.lease import extend

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Letter, Mailer
    from urlsum.secret import Secret
    from urlsum.settings import Settings
    from urlsum.tables import Records, TaskStore
    from urlsum.task import Task

log = logging.getLogger(__name__)

# A minute outlasts most throttles, the doubling reaches greylisting (usually five minutes), and an hour spares a server
# that is down: 1 + 2 + 4 + 8 + 16 + 32 minutes and then 23 hours are a day. RFC 5321, 4.5.4.1 has mail servers retry
# for four or five days, but only emails that they accepted; and a person who waits for a checksum has asked /check by
# then.
FIRST_DELAY_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 3600.0
MAX_TRIES = 30
# An email without a reply may have arrived. A second try is for a connection that broke by chance; a server that stays
# silent twice has most likely delivered both.
MAX_UNANSWERED = 2
# Longer than the day for which an email is retried.
UNANSWERED_KEPT_SECONDS = 2 * 86_400.0

# Pauses between the tries to mark an email as sent: without the mark a second email follows. Together shorter than the
# lease, after which the mark would be refused.
MARK_PAUSES_SECONDS = (0.5, 2.0)
# How much longer than the sending the lease must last: for marking in a slow table.
MARK_SECONDS = 30.0
LEASE_SECONDS = SEND_SECONDS + MARK_SECONDS


def mail_delay(attempts: int) -> float:
    """Seconds until the next try to send, after ``attempts`` claims of the finished task."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempts, MAX_TRIES))


class MailDeps(Protocol):
    """What an email needs of ``urlsum.wiring.Services``."""

    @property
    def settings(self) -> Settings:
        """PUBLIC_URL and CONTACT."""
        ...

    @property
    def table(self) -> TaskStore:
        """Where the state of the email is stored."""
        ...

    @property
    def records(self) -> Records:
        """Where it is counted how often an email had no reply."""
        ...

    @property
    def secret(self) -> Secret:
        """The key of the links in emails."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""
        ...


def send_result_email(
    task: Task, deps: MailDeps, *, mailer: Mailer, patient: bool = False, sleep: Callable[[float], None] = time.sleep
) -> Task:
    """Send the email that the finished ``task`` owes, as the holder of its lease; return the task as last written.

    With ``patient``, the reply to the whole email is waited for as long as RFC 5321 asks, under a longer lease.

    If the mail server is unavailable, the returned task has a ``due_at``, the time of the next try. Raises LeaseLost
    before sending if the lease is gone, or after sending if it lapsed meanwhile, and TableUnavailable; in each case
    nothing more may be written, and a later claim finds the email still owed.
    """
    table, now = deps.table, deps.clock
    if task.attempts >= MAX_TRIES:
        # Only claims whose worker died count up to here: a postponed email is settled below.
        log.error("task %s: email given up after %d attempts that were cut off", task.id, task.attempts)
        return _mark(task.mailed(Mail.FAILED, now()), task, table, sleep)
    unanswered = _Unanswered(task, deps)
    if task.attempts and unanswered.count() >= MAX_UNANSWERED:
        return _mark(_unanswered(task, now()), task, table, sleep)
    # The lease must outlast the sending; otherwise a second worker would send the email too.
    task = extend(task, table, now=now(), lease_seconds=LEASE_SECONDS)
    letter = _letter(task, deps.secret, deps.settings)

    def hold(seconds: float) -> bool:
        nonlocal task
        unanswered.add()  # now: this process may die while it waits
        try:
            task = extend(task, table, now=now(), lease_seconds=seconds + MARK_SECONDS)
        except TableUnavailable:
            return False
        return True

    try:
        mailer.send(letter, hold=hold if patient else None)
        after = task.mailed(Mail.SENT, now())
    except MailSuppressed as suppressed:
        log.info("task %s: email suppressed: %s", task.id, suppressed)
        after = task.mailed(Mail.SUPPRESSED, now())
    except MailLimited as limited:
        log.warning("task %s: email given up: %s", task.id, limited)
        after = task.noted(remarks.EMAIL_LIMIT).mailed(Mail.FAILED, now())
    except MailRefused as refused:
        log.warning("task %s: email refused: %s", task.id, refused)
        after = task.mailed(Mail.FAILED, now())
    except MailUnanswered as lost:
        spent = unanswered.add() >= MAX_UNANSWERED
        after = _unanswered(task, now()) if spent else _put_off(task, lost, now())
    except MailUnavailable as unavailable:
        after = _put_off(task, unavailable, now())
    return _mark(after, task, table, sleep)


class _Unanswered:
    """How often the whole email of a task was sent without a reply, over all processes; this try counts once."""

    def __init__(self, task: Task, deps: MailDeps) -> None:
        self._key = f"unanswered:{task.id}"
        self._deps = deps
        self._added: int | None = None

    def count(self) -> int:
        """The number of such tries. Raises TableUnavailable."""
        stored = self._deps.records.read(self._key)
        return int(stored.value) if stored and stored.value.isdecimal() else 0

    def add(self) -> int:
        """Count this try, unless it is counted, and return the number of such tries.

        A table that does not answer counts as the last try: better one email too few than one every hour.
        """
        if self._added is None:
            now = self._deps.clock()

            def more(stored: str | None) -> tuple[Change, int]:
                tries = (int(stored) if stored and stored.isdecimal() else 0) + 1
                return Change(str(tries), now + UNANSWERED_KEPT_SECONDS), tries

            try:
                self._added = tables.change(self._deps.records, self._key, more, now=now, durable=True)
            except TableUnavailable:
                return MAX_UNANSWERED
        return self._added


def _unanswered(task: Task, now: float) -> Task:
    log.error("task %s: email given up: the mail server took it %d times without a reply", task.id, MAX_UNANSWERED)
    return task.mailed(Mail.FAILED, now)


def _letter(task: Task, secret: Secret, settings: Settings) -> Letter:
    public_url, unsubscribe = settings.public_url, None
    if public_url is not None and task.email is not None:
        unsubscribe = suppression.link(secret, task.email, public_url)
    return compose(task, public_url=public_url, unsubscribe=unsubscribe, contact=settings.contact)


def _put_off(task: Task, unavailable: MailUnavailable, now: float) -> Task:
    if task.attempts + 1 >= MAX_TRIES:
        log.error("task %s: email given up after %d attempts: %s", task.id, MAX_TRIES, unavailable)
        return task.mailed(Mail.FAILED, now)
    delay = mail_delay(task.attempts)
    if not isinstance(unavailable, MailSystemDown):  # that concerns all emails, and is logged once for all of them
        log.warning("task %s: email postponed by %.0f s: %s", task.id, delay, unavailable)
    return task.released(now, delay=delay)


def _mark(after: Task, before: Task, table: TaskStore, sleep: Callable[[float], None]) -> Task:
    # Idempotent: if a write was applied and its response lost, the next one finds the same fence and status, and writes
    # the same again.
    for pause in MARK_PAUSES_SECONDS:
        try:
            table.save(after, over=before)
        except TableUnavailable as unavailable:
            log.warning("task %s: the state of the email is not stored yet: %s", after.id, unavailable)
            sleep(pause)
        else:
            return after
    table.save(after, over=before)
    return after
