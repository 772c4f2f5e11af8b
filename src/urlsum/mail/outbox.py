"""Mail into a directory, as .eml files: the default, for a machine that has no mail server."""

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

# A mail is for its recipient, so its file is for its owner only.
MODE = 0o600


class OutboxMailer:
    """Writes one file per letter into ``directory``, which is created when first needed.

    Names begin with the time in UTC, so that they sort by it. A file is either there with all that it says, also
    after a power cut, or not there. Raises SettingsError when ``mail_from`` is no address.
    """

    def __init__(self, directory: Path, mail_from: str, *, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._from = mime.sender(mail_from)
        self._clock = clock

    def send(self, letter: Letter) -> None:
        """Write the letter. An error of the file system is MailUnavailable: the owner of the disk can mend it."""
        now = self._clock()
        message = mime.build(letter, self._from, now=now)
        # Line ends as on every file here, not as on the wire: the md5sum line is there to be cut out and fed to md5sum.
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
    # The rename is on the disk only when the directory is.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
