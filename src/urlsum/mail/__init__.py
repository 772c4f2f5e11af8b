"""The port to the mail system; each adapter beside it serves one technology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

# The time limit for one email. It allows for a mail server that delays its greeting on purpose, and fits between the
# end of a worker's slice and Lambda's time-out, see template.yaml.
SEND_SECONDS = 30.0

# RFC 5321, 4.5.3.2.6 asks for 10 minutes after the final dot: the server has the whole email then, and a sender that
# gives up sooner sends it a second time.
ANSWER_SECONDS = 600.0


class Letter(Struct, frozen=True):
    """One plain-text email to exactly one recipient.

    ``unsubscribe`` is the URL of which one POST ends all email to this recipient.
    """

    to: str
    subject: str
    body: str
    unsubscribe: str | None = None


class Mailer(Protocol):
    """Passes an email to a mail system."""

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Return once the mail system has accepted the email, or raise, within about SEND_SECONDS.

        With ``hold``, a mailer that has sent the whole email may wait for its reply for ANSWER_SECONDS. It calls
        ``hold`` with that number first, and does not wait longer than SEND_SECONDS if that returns False.

        Raises MailRefused if this recipient or this email will never be accepted, MailUnavailable if a later try may
        succeed. That includes faults that the operator must fix first, because the email can wait for that. Of these,
        MailSystemDown concerns every email, and MailUnanswered one that may have been accepted.
        """
        ...
