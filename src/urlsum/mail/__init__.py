"""The port to the mail system; adapters live beside it, one per technology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """One plain-text mail to exactly one recipient."""

    to: str
    subject: str
    body: str


class Mailer(Protocol):
    """Hands a letter to a mail system."""

    def send(self, letter: Letter) -> None:
        """Return once the mail system has taken the letter.

        Raises MailRefused when it never will, MailUnavailable when a later try may succeed.
        """
        ...
