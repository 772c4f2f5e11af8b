"""Waiting until a file is on the disk, together: it takes milliseconds, and one wait serves all who are waiting.

Whoever comes while a wait is under way joins the next one. A lone one waits for nobody.
"""

from __future__ import annotations

import os
import threading

# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


class _Group:
    """Those who wait together; ``over`` when the disk has answered."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.written = False


class Disk:
    """Has a file written to the disk for whoever asks. Safe for many threads."""

    def __init__(self) -> None:
        self._joining = threading.Lock()
        self._writing = threading.Lock()
        self._group: _Group | None = None

    def wait_for(self, path: str) -> None:
        """Return when all that the file held at the time of this call is on the disk. Raises OSError."""
        with self._joining:
            leads = self._group is None
            group = self._group = self._group or _Group()
        if leads:
            self._write(path, group)
        else:
            group.over.wait()
            if not group.written:
                raise OSError(f"{path} could not be written to disk")

    def _write(self, path: str, group: _Group) -> None:
        with self._writing:
            with self._joining:
                self._group = None  # what comes from here on may be missed
            try:
                flush(path)
                group.written = True
            finally:
                group.over.set()


def flush(path: str) -> None:
    """Return when all that the file holds is on the disk, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)
