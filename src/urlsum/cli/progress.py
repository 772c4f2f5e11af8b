"""A progress bar where somebody watches, nothing where nobody does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Never, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tqdm import tqdm

# Longer names would leave no room for the figures on a line of 80 characters.
NAME_CHARACTERS = 24


class Meter(Protocol):
    """Shows how far one file is. All sizes are bytes."""

    def begin(self, url: str, at: int, total: int | None) -> None:
        """A file is read from ``at`` on."""
        ...

    def move(self, at: int, total: int | None) -> None:
        """It is read up to ``at``."""
        ...

    def end(self) -> None:
        """It is read no further; the screen is left as it was before."""
        ...


class NoMeter:
    """For standard errors that are no terminal."""

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
        from tqdm import tqdm  # noqa: PLC0415 - 30 ms that only a person who watches has to pay

        self.end()
        tqdm.monitor_interval = 0  # every read is reported, so nothing needs a thread that looks after the bar
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
        """Redraw it, ten times a second at most."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(at - self._bar.n)

    def end(self) -> None:
        """Wipe it away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def meter() -> Meter:
    """The meter that standard error can show."""
    return Bar() if sys.stderr.isatty() else NoMeter()


def _name(url: str) -> str:
    parts = urlsplit(url)
    name = parts.path.rstrip("/").rpartition("/")[2] or parts.netloc
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"
