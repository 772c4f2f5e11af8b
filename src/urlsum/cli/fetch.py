"""Reads a short file from the web into memory: a list of checksums."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from urlsum.cli import console
from urlsum.deadline import Deadline
from urlsum.errors import DeadlineReached, InvalidUrl, OriginError
from urlsum.text.format import human_bytes
from urlsum.worker import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.settings import Settings
    from urlsum.worker.source import Source

# The checksums of half a million files. The list of all of Debian's mirror has 20 MB.
MOST_BYTES = 64 * 2**20
# A list that takes longer has no use for a person who waits before the terminal.
MOST_SECONDS = 600.0


class Unreadable(OSError):
    """A list cannot be read from the web; ``strerror`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(None, reason)


def fetch(url: str, source: Source, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> bytes:
    """The bytes of the file at ``url``, of one version. Raises Unreadable."""
    attempts = 0
    while True:
        try:
            return _read(url, source)
        except InvalidUrl as exc:
            raise Unreadable(str(exc)) from exc
        except DeadlineReached as exc:
            raise Unreadable(f"this list took longer than {MOST_SECONDS:.0f} s") from exc
        except OriginError as exc:
            attempts += 1
            base, most = settings.retry_base_seconds, settings.max_attempts
            wait = retry.delay(exc, attempts=attempts, max_attempts=most, base_seconds=base)
            text = console.without_url(url, str(exc))
            if wait is None:
                raise Unreadable(f"{exc.code}: {console.with_advice(exc.code, text, exc.detail)}") from exc
            console.failure(url, exc.code, f"{console.with_detail(text, exc.detail)}; trying again in {wait:.0f} s")
            sleep(wait)


def _read(url: str, source: Source) -> bytes:
    content = bytearray()
    with source.open(url, deadline=Deadline.after(MOST_SECONDS)) as stream:
        while piece := stream.read():
            content += piece
            if len(content) > MOST_BYTES:
                raise Unreadable(f"this list has more than {human_bytes(MOST_BYTES)}")
    return bytes(content)
