"""The result mail: sent once by whoever holds the lease, noted in the table, tried again for a day.

Nothing is written before the mail goes out, because the lease already says that this worker, and no other, is at it.
The result was committed before. So there are two ways to a second mail. The worker dies between sending and noting it:
the lease lapses, another worker claims the task, finds the mail owed, and sends it again, once per such crash. Or the
mail system takes the letter and its answer is lost. A note written *before* sending would turn both into a mail that
is lost, which nobody would find out.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from urlsum.errors import MailRefused, MailUnavailable, TableUnavailable
from urlsum.mail import SEND_SECONDS
from urlsum.mail.message import compose
from urlsum.task import Mail

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Mailer
    from urlsum.tables import TaskStore
    from urlsum.task import Task

log = logging.getLogger(__name__)

# A minute passes most throttles, the doubling reaches greylisting (usually five minutes), the hour keeps a server that
# is down from being asked all the time: 1 + 2 + 4 + 8 + 16 + 32 minutes and then 23 hours are a day. RFC 5321, 4.5.4.1
# has mail servers try for four or five days, but they only start once they have the letter; and whoever waits for a
# checksum has asked /check by then.
FIRST_DELAY_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 3600.0
MAX_TRIES = 30

# Noting that the mail is out is worth some patience, as the alternative is a second mail; but not more than the lease
# lasts, after which the note would be refused.
MARK_PAUSES_SECONDS = (0.5, 2.0)
# What the lease must still hold when a mail is begun: sending, then noting it over a slow table.
LEASE_SECONDS = SEND_SECONDS + 30.0


def mail_delay(attempts: int) -> float:
    """Seconds until the next try of a mail, after ``attempts`` claims of the finished task."""
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
    """Send the mail that the finished ``task`` owes, as the holder of its lease; return the task as last written.

    When the mail system is unavailable, the task returned has a ``due_at``: somebody must come again then. Raises
    LeaseLost before sending when the lease is gone, or after sending when it lapsed meanwhile, and TableUnavailable; in
    each case nothing more may be written, and a later claim finds what is still owed.
    """
    if task.attempts >= MAX_TRIES:
        # Only claims that died on the way count up to here, a mail that was put off is settled below.
        log.error("task %s: no mail after %d tries, given up", task.id, task.attempts)
        return _mark(task.mailed(Mail.FAILED, now()), task, table, sleep)
    task = _hold(task, table, now())
    try:
        mailer.send(compose(task, public_url=public_url))
    except MailRefused as refused:
        log.warning("task %s: mail refused: %s", task.id, refused)
        return _mark(task.mailed(Mail.FAILED, now()), task, table, sleep)
    except MailUnavailable as unavailable:
        return _mark(_put_off(task, unavailable, now()), task, table, sleep)
    return _mark(task.mailed(Mail.SENT, now()), task, table, sleep)


def _hold(task: Task, table: TaskStore, now: float) -> Task:
    """``task`` with a lease that outlasts the sending, or else a second worker would send the mail too."""
    if task.lease_until >= now + LEASE_SECONDS:
        return task
    until = now + LEASE_SECONDS
    held = replace(task, lease_until=until, due_at=until, updated_at=now)
    table.save(held, over=task)
    return held


def _put_off(task: Task, unavailable: MailUnavailable, now: float) -> Task:
    if task.attempts + 1 >= MAX_TRIES:
        log.error("task %s: mail given up after %d tries: %s", task.id, MAX_TRIES, unavailable)
        return task.mailed(Mail.FAILED, now)
    delay = mail_delay(task.attempts)
    log.warning("task %s: mail put off for %.0f s: %s", task.id, delay, unavailable)
    return task.released(now, delay=delay)


def _mark(after: Task, before: Task, table: TaskStore, sleep: Callable[[float], None]) -> Task:
    # Should a write have been applied although its answer was lost, the next one finds the same fence and status, and
    # writes the same again.
    for pause in MARK_PAUSES_SECONDS:
        try:
            table.save(after, over=before)
        except TableUnavailable as unavailable:
            log.warning("task %s: the state of the mail is not noted yet: %s", after.id, unavailable)
            sleep(pause)
        else:
            return after
    table.save(after, over=before)
    return after
