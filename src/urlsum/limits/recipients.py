"""The limit of emails per recipient, over all clients: counted just before an email is sent."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from urlsum import tables
from urlsum.errors import MailLimited, MailUnanswered, MailUnavailable, TableUnavailable
from urlsum.limits.quota import DAY
from urlsum.mail.address import mailbox
from urlsum.tables import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Letter, Mailer
    from urlsum.tables import Records

log = logging.getLogger(__name__)

# Hexadecimal digits: 128 bits, so that no two mailboxes share a digest by accident.
DIGEST_DIGITS = 32


def digest(address: str) -> str:
    """What stands for the mailbox of ``address`` in keys and logs: the beginning of its SHA-256."""
    return hashlib.sha256(mailbox(address).encode()).hexdigest()[:DIGEST_DIGITS]


class LimitedMailer:
    """A ``Mailer`` that sends each mailbox at most ``most`` emails in a day (0: any number), and refuses the others."""

    def __init__(self, mailer: Mailer, records: Records, *, most: int, clock: Callable[[], float]) -> None:
        self._mailer = mailer
        self._records = records
        self._most = most
        self._clock = clock

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Count and send ``letter``. Raises MailLimited, MailRefused, MailUnavailable, and TableUnavailable."""
        if not self._most:
            self._mailer.send(letter, hold=hold)
            return
        if not self._count(letter, 1):
            raise MailLimited(f"this recipient has had {self._most} emails within a day (RECIPIENT_EMAILS_PER_DAY)")
        try:
            self._mailer.send(letter, hold=hold)
        except MailUnanswered:
            raise  # it may arrive
        except MailUnavailable:
            # It was not sent, and each of the tries that follow counts.
            try:
                self._count(letter, -1)
            except TableUnavailable as unavailable:
                log.warning("an email that was not sent is counted: %s", unavailable)
            raise

    def _count(self, letter: Letter, more: int) -> bool:
        now = self._clock()

        def decide(stored: str | None) -> tuple[Change | None, bool]:
            start, count = _window(stored, now)
            if more > 0 and count >= self._most:
                return None, False
            return Change(json.dumps([round(start, 3), max(0, count + more)]), start + DAY), True

        return tables.change(self._records, f"recipient:{digest(letter.to)}", decide, now=now)


def _window(stored: str | None, now: float) -> tuple[float, int]:
    try:
        start, count = json.loads(stored or "")
        return float(start), int(count)
    except (ValueError, TypeError):  # none, or edited by hand
        return now, 0
