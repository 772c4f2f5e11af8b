"""Hashing a file again from its first byte, and comparing it with a checkpoint of an earlier response on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.md5 import MD5
    from urlsum.task import Checkpoint


class CatchUp:
    """Feeds ``md5``, which begins at the first byte, and compares it with ``checkpoint`` as soon as it gets there."""

    def __init__(self, md5: MD5, checkpoint: Checkpoint) -> None:
        self._md5 = md5
        self._checkpoint = checkpoint

    def update(self, chunk: memoryview) -> bool | None:
        """Hash all of ``chunk``; return whether the bytes before the checkpoint are the same, None before it."""
        missing = self._checkpoint.offset - self._md5.count
        if len(chunk) < missing:
            self._md5.update(chunk)
            return None
        self._md5.update(chunk[:missing])
        same = self._md5.checkpoint() == (self._checkpoint.offset, self._checkpoint.md5_state)
        self._md5.update(chunk[missing:])
        return same
