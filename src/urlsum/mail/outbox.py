"""Emails as .eml files in a directory: the default, for a machine without a mail server."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from urlsum.errors import MailSystemDown
from urlsum.mail import Letter, mime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# An email is private to its recipient, so only the owner of the file may read it, and only they see when it was sent.
MODE = 0o600
DIRECTORY_MODE = 0o700


def make_directory(path: Path) -> None:
    """Create the directory for emails, unless it exists: then its mode is its owner's choice. Raises OSError."""
    path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)


class OutboxMailer:
    """Writes one file per email into ``directory``, and creates that on first use.

    Names begin with the time in UTC, so that they sort by it. A file is either complete or absent, even after a power
    failure. Raises SettingsError if ``mail_from`` is not an address.
    """

    def __init__(self, directory: Path, mail_from: str, *, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._from = mime.sender(mail_from)
        self._clock = clock

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:  # noqa: ARG002 - a file
        """Write the email. Raises MailSystemDown on a file system error, which the owner of the disk can fix."""
        now = self._clock()
        message = mime.build(letter, self._from, now=now)
        # Local line ends, not those of the wire: people cut the md5sum line out and feed it to md5sum.
        content = message.as_bytes(policy=message.policy.clone(linesep="\n"))
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        try:
            make_directory(self._directory)
            _write(self._directory / f"{stamp}-{secrets.token_hex(4)}.eml", content)
        except OSError as exc:
            raise MailSystemDown(f"OUTBOX_DIR: cannot write to {self._directory}: {exc}") from exc


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    # The rename is durable only after the directory is synced.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
