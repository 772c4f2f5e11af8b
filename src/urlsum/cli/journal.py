"""The results of a list, kept until all of them are printed: a line each, in one file for each run.

A file for each result would cost as much as the reading of a small file.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from urlsum.cli.state import FORMAT, MODE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from urlsum.cli.state import StateDirectory

# A result of an interrupted run counts as one of its resumption for a day: so long a run itself may take between the
# first file and the last. Later the file is read again.
RESULT_SECONDS = 86_400.0
PATTERN = "results-*.jsonl"


class Journal:
    """Keeps results in ``directory``, and knows those of interrupted runs. Thread-safe.

    Each run appends to a file of its own, so runs do not wait for each other. Lines do not wait for the disk: after a
    power failure the files are read again.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Mapping[str, Any], Path]] = {}
        self._used: dict[Path, set[str]] = {}
        self._own: Path | None = None
        self._descriptor = -1
        self._torn = False

    def load(self, urls: Collection[str], now: float) -> None:
        """Read what interrupted runs have found for ``urls`` before ``now`` (epoch seconds); remove what is too old."""
        wanted = set(urls)
        for path in sorted(self._directory.path.glob(PATTERN)):
            if path == self._own:
                continue
            with suppress(OSError):
                if now - path.stat().st_mtime > RESULT_SECONDS:
                    path.unlink()
                    continue
                for _, url, at, result in _entries(path):
                    fresh = 0 <= now - at <= RESULT_SECONDS
                    if url in wanted and fresh and (url not in self._known or self._known[url][0] <= at):
                        self._known[url] = at, result, path

    def known(self, url: str) -> Mapping[str, Any] | None:
        """The result that an interrupted run has found for ``url``; None if there is none."""
        found = self._known.get(url)
        if found is None:
            return None
        _, result, path = found
        with self._lock:
            self._used.setdefault(path, set()).add(url)
        return result

    def keep(self, url: str, result: Mapping[str, Any], now: float) -> None:
        """Append the ``result`` of ``now`` (epoch seconds). Raises OSError."""
        line = json.dumps({"urlsum": FORMAT, "url": url, "at": now, "result": result})
        with self._lock:
            if self._own is None:
                self._directory.prepare()
                own = self._directory.path / f"results-{time.time_ns()}-{os.getpid()}.jsonl"
                self._descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, MODE)
                self._own = own
            # After a full disk, half a line may precede this one.
            data = f"\n{line}\n".encode() if self._torn else f"{line}\n".encode()
            self._torn = True
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
            self._torn = False

    def finish(self) -> None:
        """Remove the results of this run, and those of earlier ones that it has used: all have been printed."""
        with self._lock:
            if self._own is not None:
                os.close(self._descriptor)
                with suppress(OSError):
                    self._own.unlink()
                self._own = None
            for path, urls in self._used.items():
                with suppress(OSError):
                    _remove(path, urls)
            self._used.clear()
            self._known.clear()


def _entries(path: Path) -> Iterator[tuple[bytes, str, float, Mapping[str, Any]]]:
    """Line, URL, time (epoch seconds) and result of each whole line. Raises OSError."""
    with path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
                url, at, result = value["url"], value["at"], value["result"]
                current = value["urlsum"] == FORMAT
            except (ValueError, KeyError, TypeError):
                continue  # a killed run or a full disk has cut it
            if current and isinstance(url, str) and isinstance(at, int | float) and isinstance(result, dict):
                yield line, url, at, result


def _remove(path: Path, urls: Collection[str]) -> None:
    """Remove the results of ``urls`` from ``path``. Raises OSError.

    A run that still appends there loses what it has found, and nothing else: if it is killed, it reads that again.
    """
    rest = [line for line, url, _, _ in _entries(path) if url not in urls]
    if not rest:
        path.unlink()
        return
    new = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(rest)
    os.replace(new, path)  # noqa: PTH105 - as in urlsum.cli.state
