"""The process of a divided run: reads the files that it is sent, in threads, and sends their outcomes."""

from __future__ import annotations

import os
import queue
import threading
import traceback
from typing import TYPE_CHECKING

from urlsum.cli import console
from urlsum.cli.one_file import OneFile, dumped
from urlsum.errors import SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.cli.channel import Channel
    from urlsum.cli.one_file import Resources
    from urlsum.cli.outcome import HashRequest
    from urlsum.cli.progress import FileMeter
    from urlsum.cli.state import StateFile


class Child:
    """Reads ``hash_requests`` by their index, ``at_once`` of them in threads; ``meter`` makes the meter of an index."""

    def __init__(
        self,
        channel: Channel,
        hash_requests: Sequence[HashRequest],
        shared: Resources,
        *,
        state: Callable[[str], StateFile | None],
        meter: Callable[[int], FileMeter],
        halt: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._hash_requests = hash_requests
        self._shared = shared
        self._state = state
        self._meter = meter
        self._halt = halt
        self._orders: queue.SimpleQueue[int] = queue.SimpleQueue()

    def serve(self, at_once: int) -> None:
        """Obey until the command closes its end, or ends in whatever way."""
        console.divert(lambda text: self._send("tell", text))
        self._shared.hosts.share = lambda *news: self._send("hosts", *news)
        for _ in range(at_once):
            threading.Thread(target=self._work, daemon=True).start()
        while (messages := self._channel.receive()) is not None:
            for order, *values in messages:
                if order == "read":
                    self._orders.put(*values)
                elif order == "halt":
                    self._halt()
                elif order == "abort":
                    self._shared.streams.abort()
                elif order == "hosts":
                    self._shared.hosts.learn(*values)

    def _work(self) -> None:
        while True:
            index = self._orders.get()
            each = self._hash_requests[index]
            file = OneFile(each, self._shared, meter=self._meter(index), state=self._state(each.url))
            try:
                outcome = file.read()
            except (SettingsError, StateError) as exc:
                self._send("failed", index, type(exc).__name__, str(exc))
            except Exception:  # noqa: BLE001 - raised in the command
                self._send("failed", index, "", traceback.format_exc())
            else:
                self._send("done", index, dumped(outcome), file.table.kept, file.found_state)

    def _send(self, *message: object) -> None:
        try:
            self._channel.send(*message)
        except OSError:
            # The command was killed.
            os._exit(1)


class SentMeter:
    """Shows the progress of the file ``index`` in the bar of the command."""

    def __init__(self, channel: Channel, index: int) -> None:
        self._channel = channel
        self._index = index

    def begin(self, at: int, total: int | None) -> None:
        """Start a response that begins at offset ``at``."""
        self._send("begin", at, total)

    def move(self, at: int, total: int | None) -> None:
        """Show that the file has been read up to offset ``at``."""
        self._send("move", at, total)

    def end(self) -> None:
        """End the response."""
        self._send("end")

    def finish(self) -> None:
        """The file needs no more reading."""
        self._send("finish")

    def _send(self, *step: object) -> None:
        try:
            self._channel.send("meter", self._index, *step)
        except OSError:
            # The command was killed.
            os._exit(1)
