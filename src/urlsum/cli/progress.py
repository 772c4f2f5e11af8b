"""A progress bar for all files if standard error is a terminal, otherwise nothing."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Never, Protocol
from urllib.parse import urlsplit

from urlsum.cli import console
from urlsum.cli.throughput import Throughput

if TYPE_CHECKING:
    from collections.abc import Callable

    from tqdm import tqdm

# Longer names would leave too little space for the figures on a line of 80 characters.
NAME_CHARACTERS = 24


class FileMeter(Protocol):
    """Shows the progress of one file. All sizes are bytes."""

    def begin(self, at: int, total: int | None) -> None:
        """Start a response that begins at offset ``at``."""
        ...

    def move(self, at: int, total: int | None) -> None:
        """Show that the file has been read up to offset ``at``."""
        ...

    def end(self) -> None:
        """End the response: the file is complete, or waits for another try."""
        ...

    def finish(self) -> None:
        """The file needs no more reading: there is a digest, or a failure."""
        ...


class Meter(Protocol):
    """Shows the progress of a run. Thread-safe."""

    def file(self, url: str, size: int | None = None) -> FileMeter:
        """The meter of a further file, of ``size`` bytes if a list names them. All begin before the first is read."""
        ...

    def close(self) -> None:
        """Restore the screen."""
        ...


class NoFileMeter:
    """For a standard error that is not a terminal."""

    def begin(self, at: int, total: int | None) -> None:
        """Show nothing."""

    def move(self, at: int, total: int | None) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Show nothing."""


class NoMeter:
    """For a standard error that is not a terminal."""

    def file(self, url: str, size: int | None = None) -> FileMeter:  # noqa: ARG002 - nothing is shown
        """A meter that shows nothing."""
        return NoFileMeter()

    def close(self) -> None:
        """Show nothing."""


class Bar:
    """Files, bytes, rate and the time left on the last line of the terminal, by tqdm.

    Sizes that no list names are estimated by the mean of those that are known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._files = self._finished = 0
        self._read = 0  # up to where the files are read, with what earlier runs read of them
        self._known, self._known_count = 0, 0
        self._throughput: Throughput | None = None
        self._bar: tqdm[Never] | None = None

    def file(self, url: str, size: int | None = None) -> FileMeter:
        """The meter of a further file."""
        with self._lock:
            self._files += 1
            if size is not None:
                self.learned(size, None)
            return _BarFile(self, url, size)

    def close(self) -> None:
        """Erase the bar."""
        with self._lock:
            console.share_line(None)
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def rate(self) -> float:
        """Bytes per second; 0 while nothing is known."""
        return (self._throughput and self._throughput.rate(self._clock())) or 0.0

    def learned(self, size: int, before: int | None) -> None:
        """The size of a file has become known, or changed."""
        with self._lock:
            self._known += size - (before or 0)
            self._known_count += before is None

    def moved(self, name: str, change: int, received: int) -> None:
        """The files were read on by ``change`` bytes, of which ``received`` came now."""
        with self._lock:
            self._read += change
            now = self._clock()
            if self._throughput is None:
                self._throughput = Throughput(now)
            self._throughput.add(now, received)
            self._show(name)

    def ended(self, *, finished: bool) -> None:
        """A response ended; with ``finished`` its file, too."""
        with self._lock:
            self._finished += finished
            if self._files <= 1:
                self.close()

    def _show(self, name: str) -> None:
        if self._bar is None:
            self._bar = _bar(self)
            console.share_line(self._bar)
        several = self._files > 1
        self._bar.desc = f"{self._finished}/{self._files} files: " if several else f"{name}: "
        self._bar.total = self._total()
        self._bar.update(self._read - self._bar.n)

    def _total(self) -> int | None:
        if not self._known_count:
            return None
        return max(round(self._known / self._known_count * self._files), self._read)


class _BarFile:
    """One file of a ``Bar``."""

    def __init__(self, bar: Bar, url: str, size: int | None) -> None:
        self._bar = bar
        self._name = _name(url)
        self._size = size
        self._at = 0

    def begin(self, at: int, total: int | None) -> None:
        self._learn(total)
        self._bar.moved(self._name, at - self._at, 0)
        self._at = at

    def move(self, at: int, total: int | None) -> None:
        self._learn(total)
        self._bar.moved(self._name, at - self._at, max(at - self._at, 0))
        self._at = at

    def end(self) -> None:
        self._bar.ended(finished=False)

    def finish(self) -> None:
        if self._size is None or self._size > self._at:
            self._learn(self._at)  # a failure: nothing more will come
        self._bar.ended(finished=True)

    def _learn(self, total: int | None) -> None:
        if total is not None and total != self._size:
            self._bar.learned(total, self._size)
            self._size = total


def _bar(meter: Bar) -> tqdm[Never]:
    from tqdm import tqdm  # noqa: PLC0415 - 30 ms that only an interactive run pays

    class Line(tqdm):  # type: ignore[type-arg] # generic only in its stubs
        """tqdm's line with our rate: its own follows every step of the connections."""

        @property
        def format_dict(self) -> Any:  # noqa: ANN401 - a MutableMapping of all kinds
            # 0 shows question marks; None would show the mean from the beginning.
            return {**super().format_dict, "rate": meter.rate()}

    Line.monitor_interval = 0  # every read is reported, so the bar needs no monitor thread
    return Line(
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        miniters=0,
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    )


def meter() -> Meter:
    """The meter that suits standard error."""
    return Bar() if sys.stderr.isatty() else NoMeter()


def _name(url: str) -> str:
    parts = urlsplit(url)
    name = parts.path.rstrip("/").rpartition("/")[2] or parts.netloc
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"
