"""Files that keep the progress of URLs across runs of the command: their checkpoints.

By default each URL has its own below ``$XDG_STATE_HOME/urlsum`` (XDG Base Directory Specification), ``--state`` names
another for one URL.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urlsum.errors import StateError
from urlsum.md5 import MD5
from urlsum.task import Checkpoint, Representation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMAT = 1
# A state with the two longest URLs is below 20 KB. A larger file is not a state file.
MOST_BYTES = 65_536
# Only the owner may read it: a signed URL grants access like a password.
MODE = 0o600
DIRECTORY_MODE = 0o700
# Nobody resumes a run after a month, and such files would pile up.
MOST_AGE_SECONDS = 30 * 86_400.0
NAME_DIGITS = 32


class StateFile:
    """Keeps the checkpoint of ``url`` at ``path``, as JSON so that a person can read it.

    ``automatic``: the file is urlsum's own, so a damaged one is of no use and of no harm.
    """

    def __init__(self, path: Path, url: str, *, automatic: bool = False) -> None:
        self.path = path
        self.automatic = automatic
        self._url = url

    def load(self) -> tuple[Checkpoint, Representation | None] | None:
        """The checkpoint to resume from and the representation of the file; None if there is no checkpoint yet.

        Raises StateError if the state file is damaged, belongs to another URL, is not a state file or is not writable.
        """
        try:
            value = self._read()
            # A file made by mktemp is empty.
            return None if value is None else self._parse(value)
        except StateError:
            if self.automatic:
                return None
            raise

    @property
    def exists(self) -> bool:
        """Whether there is a file at all."""
        return self.path.exists()

    def save(self, checkpoint: Checkpoint, representation: Representation | None) -> None:
        """Replace the file atomically: a crash leaves the old file or the new one. Raises OSError."""
        values: dict[str, Any] = {
            "offset": checkpoint.offset,
            "md5_state": checkpoint.md5_state.hex(),
            "validator": checkpoint.validator,
        }
        if representation:
            values["representation"] = representation.dump()
        self._write(values)

    def remove(self) -> None:
        """Remove the file: there is no checkpoint to resume from. Raises OSError."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            # Checked now, not at the first checkpoint.
            if not self.automatic and not os.access(self.path.parent, os.W_OK):
                raise StateError(f"{self.path}: its directory does not exist or is not writable") from None
            return None
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror}") from exc
        if not raw:
            return None
        try:
            value = json.loads(raw)
        except ValueError as exc:
            raise self._foreign() from exc
        if not isinstance(value, dict):
            raise self._foreign()
        return value

    def _write(self, values: Mapping[str, Any]) -> None:
        text = json.dumps({"urlsum": FORMAT, "url": self._url, **values}, indent=1)
        # Two runs of one URL, or two lines of a list, must not write into the same new file.
        suffix = f".{os.getpid()}-{threading.get_ident()}" if self.automatic else ""
        new = f"{self.path}{suffix}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{text}\n".encode())
            file.flush()
            os.fsync(descriptor)
        os.replace(new, self.path)  # noqa: PTH105 - both are names here

    def _parse(self, value: dict[str, Any]) -> tuple[Checkpoint, Representation | None]:
        try:
            version, url = value["urlsum"], value["url"]
            checkpoint = Checkpoint(value["offset"], bytes.fromhex(value["md5_state"]), str(value["validator"]))
        except (ValueError, KeyError, TypeError) as exc:
            raise self._foreign() from exc
        if version != FORMAT:
            raise StateError(f"{self.path}: written by another version of urlsum; remove it to start over")
        try:
            count = MD5.restore(checkpoint.md5_state).count
        except StateError as exc:
            raise StateError(f"{self.path}: {exc}; remove it to start over") from exc
        if count != checkpoint.offset:
            raise StateError(f"{self.path}: damaged: its parts do not match; remove it to start over")
        if url != self._url:
            raise StateError(f"{self.path}: the state of another URL, {url}; name another file or remove it")
        return checkpoint, Representation.load(str(value.get("representation")))

    def _foreign(self) -> StateError:
        return StateError(f"{self.path}: not a state file of urlsum; name another file or remove it")


class StateDirectory:
    """The directory of the automatic state files; made with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def file(self, url: str) -> StateFile:
        """The state file of ``url``."""
        name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:NAME_DIGITS]
        return StateFile(self.path / f"{name}.json", url, automatic=True)

    def prepare(self) -> None:
        """Make the directory, before the first state file is written, and remove what is too old. Raises OSError."""
        if self._ready:
            return
        self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._ready = True
        oldest = time.time() - MOST_AGE_SECONDS
        for file in self.path.iterdir():
            with suppress(OSError):
                if file.stat().st_mtime < oldest:
                    file.unlink()


def default_directory(environment: Mapping[str, str], home: Callable[[], Path] = Path.home) -> Path | None:
    """Where automatic state files are; None if the user has no home directory."""
    base = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):  # noqa: PTH117 - "paths must be absolute; a relative one should be ignored"
        return Path(base, "urlsum")
    local = environment.get("LOCALAPPDATA", "")
    if sys.platform == "win32" and local:
        return Path(local, "urlsum", "state")
    try:
        return home() / ".local" / "state" / "urlsum"
    except RuntimeError:
        return None
