"""Emails as .eml files in a directory: the default, for a machine without a mail server."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from urlsum.errors import MailUnavailable
from urlsum.mail import Letter, mime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# An email is private to its recipient, so only the owner of the file may read it.
MODE = 0o600


class OutboxMailer:
    """Writes one file per email into ``directory``, and creates that on first use.

    Names begin with the time in UTC, so that they sort by it. A file is either complete or absent, even after a power
    failure. Raises SettingsError if ``mail_from`` is not an address.
    """

    def __init__(self, directory: Path, mail_from: str, *, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._from = mime.sender(mail_from)
        self._clock = clock

    def send(self, letter: Letter) -> None:
        """Write the email. Raises MailUnavailable on a file system error, which the owner of the disk can fix."""
        now = self._clock()
        message = mime.build(letter, self._from, now=now)
        # Local line ends, not those of the wire: people cut the md5sum line out and feed it to md5sum.
        content = message.as_bytes(policy=message.policy.clone(linesep="\n"))
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _write(self._directory / f"{stamp}-{secrets.token_hex(4)}.eml", content)
        except OSError as exc:
            raise MailUnavailable(f"OUTBOX_DIR: cannot write to {self._directory}: {exc}") from exc


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
