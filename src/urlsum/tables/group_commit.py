"""Group commit: concurrent callers share one fdatasync, which takes milliseconds.

A caller that arrives during a sync joins the next one. A lone caller syncs at once.
"""

from __future__ import annotations

import os
import threading

# macOS has no fdatasync.
_fdatasync = getattr(os, "fdatasync", os.fsync)


class _Group:
    """Callers that share one sync; ``over`` is set at its end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.written = False


class GroupCommit:
    """Syncs a file to disk for concurrent callers. Safe for many threads."""

    def __init__(self) -> None:
        self._joining = threading.Lock()
        self._writing = threading.Lock()
        self._group: _Group | None = None

    def sync(self, path: str) -> None:
        """Return when everything that the file held at the time of this call is on disk. Raises OSError."""
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
                self._group = None  # this sync may miss later writes
            try:
                flush(path)
                group.written = True
            finally:
                group.over.set()


def flush(path: str) -> None:
    """Return when everything in the file is on disk, from all writers. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        _fdatasync(descriptor)
    finally:
        os.close(descriptor)
