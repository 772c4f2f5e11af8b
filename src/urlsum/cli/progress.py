"""A progress bar if standard error is a terminal, otherwise nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Never, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tqdm import tqdm

# Longer names would leave too little space for the figures on a line of 80 characters.
NAME_CHARACTERS = 24


class Meter(Protocol):
    """Shows the progress of one file. All sizes are bytes."""

    def begin(self, url: str, at: int, total: int | None) -> None:
        """Start a file whose reading begins at offset ``at``."""
        ...

    def move(self, at: int, total: int | None) -> None:
        """Show that the file has been read up to offset ``at``."""
        ...

    def end(self) -> None:
        """End the file and restore the screen."""
        ...


class NoMeter:
    """For a standard error that is not a terminal."""

    def begin(self, url: str, at: int, total: int | None) -> None:
        """Show nothing."""

    def move(self, at: int, total: int | None) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class Bar:
    """Bytes, rate and ETA on the last line of the terminal, by tqdm."""

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None

    def begin(self, url: str, at: int, total: int | None) -> None:
        """Draw the bar."""
        from tqdm import tqdm  # noqa: PLC0415 - 30 ms that only an interactive run pays

        self.end()
        tqdm.monitor_interval = 0  # every read is reported, so the bar needs no monitor thread
        self._bar = tqdm(
            desc=_name(url),
            initial=at,
            total=total,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            miniters=0,
            dynamic_ncols=True,
            leave=False,
            file=sys.stderr,
        )

    def move(self, at: int, total: int | None) -> None:
        """Redraw the bar, at most ten times a second."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(at - self._bar.n)

    def end(self) -> None:
        """Erase the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def meter() -> Meter:
    """The meter that suits standard error."""
    return Bar() if sys.stderr.isatty() else NoMeter()


def _name(url: str) -> str:
    parts = urlsplit(url)
    name = parts.path.rstrip("/").rpartition("/")[2] or parts.netloc
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"
