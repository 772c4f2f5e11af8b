"""Hashing on this machine: the files of a run, several at once if asked for, those of a long list in processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from msgspec import structs

from urlsum.cli import environment
from urlsum.cli.hosts import Hosts, host_of
from urlsum.cli.interrupt import POLL_SECONDS
from urlsum.cli.journal import Journal
from urlsum.cli.metered import Streams
from urlsum.cli.one_file import OneFile, Resources, at_terminal
from urlsum.cli.pool import Pool, Schedule
from urlsum.cli.progress import NoFileMeter, NoMeter
from urlsum.cli.state import StateFile
from urlsum.origin.guard.guard import Guard, Openers
from urlsum.origin.parallel.concurrency import cpus
from urlsum.origin.source import HttpSource
from urlsum.origin.tuning import DEFAULTS
from urlsum.text.format import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from urlsum.cli.access import CommandAccess
    from urlsum.cli.channel import Channel
    from urlsum.cli.interrupt import Stop
    from urlsum.cli.outcome import HashRequest, Outcome
    from urlsum.cli.processes import Processes, Share
    from urlsum.cli.progress import Meter
    from urlsum.cli.state import StateDirectory
    from urlsum.settings import Settings
    from urlsum.worker.source import Source

OPENERS = Openers("--allow-private", environment.variable("allowed_networks"), environment.variable("allowed_ports"))


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How files are read here: ``at_once`` of them at a time.

    ``states`` keeps the progress of all URLs; ``state`` that of the only URL instead. ``patient``: a host that was
    never reached is tried as often as any other, even where a person waits.
    """

    allow_private: bool = False
    at_once: int = 1
    patient: bool = False
    state: Path | None = None
    states: StateDirectory | None = None
    access: CommandAccess | None = None


class LocalHasher:
    """Hashes URLs in this process; ``source`` reads them instead of ``http``."""

    def __init__(
        self,
        settings: Settings,
        options: LocalOptions,
        *,
        stop: Stop,
        meter: Meter,
        source: Source | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._stop = stop
        self._meter = meter
        self._options = options
        self._halted = threading.Event()
        self._files: list[OneFile] = []
        self._divisible = source is None
        self._guard = Guard(settings, allow_private=options.allow_private, openers=OPENERS)
        self.http = HttpSource(settings, self._guard, access=options.access)
        self._shared = Resources(
            # The person at the terminal decides how long is too long.
            settings=structs.replace(settings, max_task_hours=0),
            hosts=Hosts(source or self.http),
            streams=Streams(),
            is_cancelled=lambda: stop.requested() or self._halted.is_set(),
            sleep=sleep or self._sleep,
            states=options.states,
            journal=Journal(options.states) if options.states else None,
            quick=at_terminal() and not options.patient,
        )

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order. Raises Interrupted, StateError, SettingsError."""
        self._stop.check()
        if self._options.access is not None:
            self._options.access.admit(each.url for each in hash_requests)
        journal = self._shared.journal
        if journal is not None:
            journal.load([each.url for each in hash_requests], self._shared.began)
        # The results of several files are printed in their order, so they may wait for each other.
        shared = replace(self._shared, keep_results=len(hash_requests) > 1)
        files = [
            OneFile(each, shared, meter=self._meter.file(each.url, each.size), state=self._state_file(each.url))
            for each in hash_requests
        ]
        self._files.extend(files)
        lanes = [host_of(each.url) for each in hash_requests]
        processes = self._processes(hash_requests, files, lanes)
        if processes is not None:
            results = processes.results()
        else:
            pool: Pool[OneFile, Outcome] = Pool(
                OneFile.run,
                files,
                Schedule(lanes, self._shared.settings.connections_per_origin),
                at_once=self._options.at_once,
                stop=self._stop,
                halt=self._halted.set,
                abort=self._shared.streams.abort,
            )
            results = pool.results()
        try:
            yield from results
        finally:
            self._meter.close()

    def _processes(
        self, hash_requests: Sequence[HashRequest], files: Sequence[OneFile], lanes: Sequence[Hashable]
    ) -> Processes | None:
        """The processes that divide the run, started; None if this one reads all files."""
        # Imported where it is needed: a person waits for the command to start.
        from urlsum.cli.processes import LARGEST_BYTES, Processes, Share, shares  # noqa: PLC0415

        access = self._options.access
        if not self._divisible or (access is not None and access.has_proxies):
            return None
        if any(each.size is not None and each.size > LARGEST_BYTES for each in hash_requests):
            return None
        settings = self._shared.settings
        places = settings.connections_per_origin
        whole = Share(self._options.at_once, places, settings.connections_per_address or places)
        parts = shares(len(hash_requests), cpus(), whole)
        if not parts:
            return None
        self.http.rest()  # lists of the web were read over its connections, which a fork would share
        serve = partial(self._serve, hash_requests, len(parts))
        processes = Processes(files, Schedule(lanes, places), parts, serve, stop=self._stop)
        return processes if processes.start() else None

    def _serve(self, hash_requests: Sequence[HashRequest], count: int, channel: Channel, share: Share) -> None:
        """Read files in one of ``count`` processes, with a part of the connections and of the memory."""
        from urlsum.cli.child import Child, SentMeter  # noqa: PLC0415 - as above

        settings = structs.replace(
            self._shared.settings, connections_per_origin=share.per_origin, connections_per_address=share.per_address
        )
        tuning = replace(DEFAULTS, processes=count)
        source = HttpSource(settings, self._guard, tuning=tuning, access=self._options.access)
        shown = not isinstance(self._meter, NoMeter)
        # The command has the results of all files.
        shared = replace(self._shared, settings=settings, hosts=Hosts(source), journal=None)
        Child(
            channel,
            hash_requests,
            shared,
            state=self._state_file,
            meter=lambda index: SentMeter(channel, index) if shown else NoFileMeter(),
            halt=self._halted.set,
        ).serve(share.at_once)

    def resume_hint(self) -> str:
        """How much of the interrupted work is saved, and how to resume it."""
        if self._options.state is None and self._options.states is None:
            return "progress lost, because of --no-state"
        done = sum(file.has_result for file in self._files)
        kept = sum(file.table.kept for file in self._files if not file.has_result)
        saved = [f"{done} file{'' if done == 1 else 's'}"] if done else []
        saved += [human_bytes(kept)] if kept else []
        if not saved:
            return "nothing had been read yet"
        where = "" if self._options.state is None else f" in {self._options.state}"
        return f"{' and '.join(saved)} saved{where}; run the same command again to resume"

    def finish(self) -> None:
        """Remove the results that are kept for a resumption: all have been printed."""
        if self._shared.journal is not None:
            self._shared.journal.finish()

    def _state_file(self, url: str) -> StateFile | None:
        if self._options.state is not None:
            return StateFile(self._options.state, url)
        return None if self._options.states is None else self._options.states.file(url)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._shared.is_cancelled() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
