"""The port to the mail system; adapters live beside it, one per technology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# How long a mailer may take over one letter. Long enough for a mail server that greets slowly on purpose, short enough
# to fit between the end of a worker's slice and Lambda's time-out, see template.yaml.
SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One plain-text mail to exactly one recipient."""

    to: str
    subject: str
    body: str


class Mailer(Protocol):
    """Hands a letter to a mail system."""

    def send(self, letter: Letter) -> None:
        """Return once the mail system has taken the letter, or raise, within about SEND_SECONDS.

        Raises MailRefused when this recipient or this letter will never be taken, MailUnavailable when a later try
        may succeed: also when it is the operator who must mend something first, since the mail can wait for that.
        """
        ...
