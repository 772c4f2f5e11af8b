"""The port to the mail system; each adapter beside it serves one technology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# The time limit for one email. It allows for a mail server that delays its greeting on purpose, and fits between the
# end of a worker's slice and Lambda's time-out, see template.yaml.
SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One plain-text email to exactly one recipient."""

    to: str
    subject: str
    body: str


class Mailer(Protocol):
    """Passes an email to a mail system."""

    def send(self, letter: Letter) -> None:
        """Return once the mail system has accepted the email, or raise, within about SEND_SECONDS.

        Raises MailRefused if this recipient or this email will never be accepted, MailUnavailable if a later try may
        succeed. That includes faults that the operator must fix first, because the email can wait for that.
        """
        ...
