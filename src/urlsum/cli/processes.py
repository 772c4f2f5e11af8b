"""Divides the files of a long list among processes: Python's lock keeps one to little more than a core.

The processes are forked, because an interpreter that starts costs as much as a hundred small files. The command
schedules, prints, and keeps results; the processes read. They end with it, also if it is killed: their sockets end.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from urlsum.cli import console
from urlsum.cli.channel import Channel
from urlsum.cli.interrupt import POLL_SECONDS
from urlsum.cli.one_file import loaded
from urlsum.cli.outcome import Outcome
from urlsum.cli.pool import ABORT_SECONDS, GRACE_SECONDS
from urlsum.errors import FailureCode, SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from urlsum.cli.interrupt import Stop
    from urlsum.cli.one_file import OneFile
    from urlsum.cli.pool import Schedule

# Shorter lists end before a person would notice the difference.
LEAST_FILES = 64
# Each has at least two of the usual eight connections of an origin, for the last large file of a list.
MOST_PROCESSES = 4
# Where sizes are known: a larger file needs all connections of its origin, which only one process can give it.
LARGEST_BYTES = 64 * 2**20
# A file that is being read when its process dies is read again. One that has seen so many die may be the cause.
MOST_DEATHS = 3
_ERRORS = {"SettingsError": SettingsError, "StateError": StateError}


class Share(NamedTuple):
    """What one process has of the run: files at once, connections to an origin, and to an address."""

    at_once: int
    per_origin: int
    per_address: int


def shares(files: int, cores: int, whole: Share) -> list[Share]:
    """The shares of the processes for a list of ``files``; empty where one process reads as well.

    Only on Linux: forked processes of macOS must not use its networking libraries, and Windows has no fork.
    """
    count = min(cores, MOST_PROCESSES, *whole)
    # A fork copies one thread, and the locks that others hold.
    if count < 2 or files < LEAST_FILES or sys.platform != "linux" or threading.active_count() > 1:  # noqa: PLR2004
        return []
    return [Share(*(each // count + (index < each % count) for each in whole)) for index in range(count)]


class _Worker:
    """A process and the files that it reads now."""

    def __init__(self, share: Share, channel: Channel, pid: int) -> None:
        self.share = share
        self.channel = channel
        self.pid = pid
        self.reading: set[int] = set()
        self.active: Counter[Hashable] = Counter()

    def send(self, *message: object) -> bool:
        """Send an order; False if the process has died."""
        try:
            self.channel.send(*message)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """End the process. Its threads may wait for an origin, so it is not asked."""
        self.channel.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Processes:
    """Reads ``files`` in a process for each share; ``serve`` is what a process does, until it returns."""

    def __init__(
        self,
        files: Sequence[OneFile],
        schedule: Schedule,
        parts: Sequence[Share],
        serve: Callable[[Channel, Share], None],
        *,
        stop: Stop,
    ) -> None:
        self._files = files
        self._schedule = schedule
        self._parts = parts
        self._serve = serve
        self._stop = stop
        self._deaths: Counter[int] = Counter()
        self._workers: list[_Worker] = []
        self._ready: dict[int, Outcome] = {}

    def start(self) -> bool:
        """Start the processes; False where the system has no place for them, or no memory."""
        try:
            for part in self._parts:
                self._start(part)
        except OSError:
            self._end_all()
            return False
        return True

    def results(self) -> Iterator[Outcome]:
        """The outcome of each file, in order, after ``start``. Raises Interrupted, SettingsError, StateError."""
        with self._stop.gracefully():
            try:
                for worker in self._workers:
                    self._feed(worker)
                for index in range(len(self._files)):
                    while index not in self._ready:
                        self._collect()
                        self._stop.check()
                    yield self._ready.pop(index)
            except BaseException:  # also when the caller wants no further result
                self._halt()
                raise
            finally:
                self._end_all()

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _start(self, part: Share) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                raise
            if pid == 0:
                self._be_child(part, ours, theirs)
        worker = _Worker(part, Channel(ours), pid)
        self._workers.append(worker)
        return worker

    def _be_child(self, part: Share, ours: socket.socket, theirs: socket.socket) -> NoReturn:
        status = 1
        try:
            # The command handles Ctrl-C, which the terminal sends to all processes.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            # While another process holds this end, nobody sees that the command has died.
            ours.close()
            for other in self._workers:
                other.channel.close()
            self._serve(Channel(theirs), part)
            status = 0
        finally:
            # Without the exit handlers and buffers of the command.
            os._exit(status)

    def _feed(self, worker: _Worker) -> None:
        """Give ``worker`` as many files as it has places for."""
        while len(worker.reading) < worker.share.at_once:
            index = self._schedule.begin(worker.active, worker.share.per_origin)
            if index is None:
                return
            known = self._files[index].known()
            if known is not None:
                self._ready[index] = known
                self._schedule.ended(index, worker.active)
                self._files[index].meter.finish()
                continue
            if not worker.send("read", index):
                self._schedule.ended(index, worker.active)
                self._schedule.again(index)
                return  # its socket reports the end, after what it has sent
            worker.reading.add(index)

    def _collect(self) -> None:
        """Handle the messages that arrive within POLL_SECONDS."""
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.channel, selectors.EVENT_READ, worker)
            for key, _ in selector.select(POLL_SECONDS):
                self._receive(key.data)

    def _receive(self, worker: _Worker, *, more: bool = True) -> None:
        messages = worker.channel.receive()
        if messages is None:
            self._lost(worker, more=more)
            return
        for kind, *values in messages:
            self._handle(worker, kind, values)
        if more:
            self._feed(worker)

    def _handle(self, worker: _Worker, kind: str, values: list[Any]) -> None:
        if kind == "done":
            index, outcome, kept, found_state = values
            self._end(worker, index)
            self._ready[index] = self._files[index].was_read(loaded(outcome), kept=kept, found_state=found_state)
        elif kind == "failed":
            index, name, text = values
            self._end(worker, index)
            raise _ERRORS.get(name, RuntimeError)(text)
        elif kind == "tell":
            console.tell(*values)
        elif kind == "meter":
            index, step, *numbers = values
            meter = self._files[index].meter
            {"begin": meter.begin, "move": meter.move, "end": meter.end, "finish": meter.finish}[step](*numbers)
        elif kind == "hosts":
            for other in self._workers:
                if other is not worker:
                    other.send("hosts", *values)

    def _end(self, worker: _Worker, index: int) -> None:
        worker.reading.discard(index)
        self._schedule.ended(index, worker.active)

    def _lost(self, worker: _Worker, *, more: bool) -> None:
        """The process has died. Another one takes its place, and reads its files again."""
        self._workers.remove(worker)
        worker.end()
        for index in sorted(worker.reading, reverse=True):
            self._deaths[index] += 1
            if self._deaths[index] < MOST_DEATHS:
                self._schedule.again(index)
            else:
                url = self._files[index].url
                self._ready[index] = Outcome(
                    url, code=FailureCode.INTERNAL, message="the process that read it was killed"
                )
                self._files[index].meter.finish()
        if more and self._schedule.waiting:
            try:
                self._feed(self._start(worker.share))
            except OSError:
                if not self._workers:
                    raise
                for other in self._workers:
                    self._feed(other)

    def _halt(self) -> None:
        """Let the processes write their checkpoints, as far as they do not wait for a host that is silent."""
        for seconds, order in ((GRACE_SECONDS, "halt"), (ABORT_SECONDS, "abort")):
            for worker in self._workers:
                worker.send(order)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                busy = [worker for worker in self._workers if worker.reading]
                if not busy:
                    return
                with selectors.DefaultSelector() as selector:
                    for worker in busy:
                        selector.register(worker.channel, selectors.EVENT_READ, worker)
                    for key, _ in selector.select(left):
                        with suppress(SettingsError, StateError, RuntimeError):  # one error is enough
                            self._receive(key.data, more=False)
