"""The checkpoint file of ``--state``: keeps the progress of one URL across runs of the command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from urlsum.errors import StateError
from urlsum.md5 import MD5
from urlsum.task import Checkpoint, Representation

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
# A state with the two longest URLs is below 20 KB. A larger file is not a state file.
MOST_BYTES = 65_536
# Only the owner may read it: a signed URL grants access like a password.
MODE = 0o600


class StateFile:
    """Keeps the checkpoint of ``url`` at ``path``, as JSON so that a person can read it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._url = url

    def load(self) -> tuple[Checkpoint, Representation | None] | None:
        """The checkpoint to resume from and the representation of the file; None if there is no checkpoint yet.

        Raises StateError if the state file is damaged, belongs to another URL, is not a state file or is not writable.
        """
        try:
            with self.path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            # Checked now, not at the first checkpoint.
            if not os.access(self.path.parent, os.W_OK):
                raise StateError(f"{self.path}: its directory does not exist or is not writable") from None
            return None
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror}") from exc
        # A file made by mktemp is empty.
        return self._parse(raw) if raw else None

    def save(self, checkpoint: Checkpoint, representation: Representation | None) -> None:
        """Replace the file atomically: a crash leaves the old file or the new one. Raises OSError."""
        text = json.dumps(
            {
                "urlsum": FORMAT,
                "url": self._url,
                "offset": checkpoint.offset,
                "md5_state": checkpoint.md5_state.hex(),
                "validator": checkpoint.validator,
            }
            | ({"representation": representation.dump()} if representation else {}),
            indent=1,
        )
        new = self.path.with_name(self.path.name + ".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def remove(self) -> None:
        """Remove the file: there is no checkpoint to resume from. Raises OSError."""
        self.path.unlink(missing_ok=True)

    def _parse(self, raw: bytes) -> tuple[Checkpoint, Representation | None]:
        try:
            value: dict[str, Any] = json.loads(raw)
            version, url = value["urlsum"], value["url"]
            checkpoint = Checkpoint(value["offset"], bytes.fromhex(value["md5_state"]), str(value["validator"]))
        except (ValueError, KeyError, TypeError) as exc:
            raise StateError(f"{self.path}: not a state file of urlsum; name another file or remove it") from exc
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
