"""The result email, at-least-once: sent by the holder of the lease, then marked in the table, retried for a day.

The result is committed before, and the lease keeps other workers away, so nothing is written before the email goes out.
A second email is sent in two cases. The worker dies between sending and marking: the lease lapses, and the next claim
sends the email again, once per crash. Or the mail server accepts the email and its response is lost. A mark *before*
sending would turn both cases into a lost email, which nobody would notice.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from urlsum.errors import MailRefused, MailUnavailable, TableUnavailable
from urlsum.mail import SEND_SECONDS
from urlsum.mail.message import compose
from urlsum.task import Mail
from urlsum.worker.lease import extend

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Mailer
    from urlsum.tables import TaskStore
    from urlsum.task import Task

log = logging.getLogger(__name__)

# A minute outlasts most throttles, the doubling reaches greylisting (usually five minutes), and an hour spares a server
# that is down: 1 + 2 + 4 + 8 + 16 + 32 minutes and then 23 hours are a day. RFC 5321, 4.5.4.1 has mail servers retry
# for four or five days, but only emails that they accepted; and a person who waits for a checksum has asked /check by
# then.
FIRST_DELAY_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 3600.0
MAX_TRIES = 30

# Pauses between the tries to mark an email as sent: without the mark a second email follows. Together shorter than the
# lease, after which the mark would be refused.
MARK_PAUSES_SECONDS = (0.5, 2.0)
# How long the lease must last when sending begins: for sending, and for marking in a slow table.
LEASE_SECONDS = SEND_SECONDS + 30.0


def mail_delay(attempts: int) -> float:
    """Seconds until the next try to send, after ``attempts`` claims of the finished task."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempts, MAX_TRIES))


def send_result_email(
    task: Task,
    *,
    table: TaskStore,
    mailer: Mailer,
    public_url: str | None,
    now: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Task:
    """Send the email that the finished ``task`` owes, as the holder of its lease; return the task as last written.

    If the mail server is unavailable, the returned task has a ``due_at``, the time of the next try. Raises LeaseLost
    before sending if the lease is gone, or after sending if it lapsed meanwhile, and TableUnavailable; in each case
    nothing more may be written, and a later claim finds the email still owed.
    """
    if task.attempts >= MAX_TRIES:
        # Only claims whose worker died count up to here: a postponed email is settled below.
        log.error("task %s: email given up after %d attempts that were cut off", task.id, task.attempts)
        return _mark(task.mailed(Mail.FAILED, now()), task, table, sleep)
    # The lease must outlast the sending; otherwise a second worker would send the email too.
    task = extend(task, table, now=now(), lease_seconds=LEASE_SECONDS)
    try:
        mailer.send(compose(task, public_url=public_url))
    except MailRefused as refused:
        log.warning("task %s: email refused: %s", task.id, refused)
        return _mark(task.mailed(Mail.FAILED, now()), task, table, sleep)
    except MailUnavailable as unavailable:
        return _mark(_put_off(task, unavailable, now()), task, table, sleep)
    return _mark(task.mailed(Mail.SENT, now()), task, table, sleep)


def _put_off(task: Task, unavailable: MailUnavailable, now: float) -> Task:
    if task.attempts + 1 >= MAX_TRIES:
        log.error("task %s: email given up after %d attempts: %s", task.id, MAX_TRIES, unavailable)
        return task.mailed(Mail.FAILED, now)
    delay = mail_delay(task.attempts)
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
