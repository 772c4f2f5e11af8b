"""Remembers the hosts that cannot be reached, so that the files of a list do not wait for one of them in turn."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from urlsum.cli import console
from urlsum.cli.passing import PassingSource
from urlsum.errors import AddressRefused, ConnectFailed, DnsFailed, InvalidUrl, OriginError
from urlsum.origin.guard.url import parse
from urlsum.origin.source import no_lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.task import Checkpoint
    from urlsum.worker.source import Source, Stream

    Host = tuple[str, str, int] | None

# How long a host that was given up counts as unreachable without another try: the time-out of a connection. So a list
# of a thousand files waits for a silent host once in twice that time, and a host that comes back is found soon.
UNREACHABLE_SECONDS = 10.0
# A person at a terminal who has mistyped a host learns it at once; one retry is for a lookup that was lost.
QUICK_ATTEMPTS = 2
QUICK_RETRY_SECONDS = 0.5
_UNREACHABLE: dict[str, type[OriginError]] = {each.__name__: each for each in (ConnectFailed, DnsFailed)}


class Hosts(PassingSource):
    """A Source that fails at once for a host that was given up a moment ago. Thread-safe."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(source)
        self._clock = clock
        self._lock = threading.Lock()
        self._reached: set[Host] = set()
        self._failed: dict[Host, tuple[str, OriginError]] = {}  # by the last try, at that URL
        self._given_up: dict[Host, float] = {}  # when it was tried last
        self.share: Callable[..., None] = lambda *_: None
        """Passes news on to the ``learn`` of other processes."""

    def is_new(self, url: str) -> bool:
        """Whether the host of ``url`` has not been reached in this run: it may be mistyped."""
        return host_of(url) not in self._reached

    def is_given_up(self, url: str) -> bool:
        """Whether a file has failed for good because the host of ``url`` cannot be reached."""
        return host_of(url) in self._given_up

    def give_up(self, url: str) -> None:
        """The file at ``url`` has failed for good: the reason counts for its host, if it could not be reached."""
        host = host_of(url)
        with self._lock:
            if host not in self._failed or host in self._given_up:
                return
            self._given_up[host] = self._clock()
            failed, error = self._failed[host]
        self.share(failed, type(error).__name__, str(error))

    def learn(self, url: str, error: str | None, text: str = "") -> None:
        """Another process has given up the host of ``url`` for the class ``error``, or, without one, has reached it."""
        host = host_of(url)
        with self._lock:
            if error is not None:
                self._failed[host] = (url, _UNREACHABLE[error](text))
                self._given_up[host] = self._clock()
            else:
                self._is_reached(host)

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = no_lease,
    ) -> Stream:
        """Open the file. Raises the errors of the source."""
        host = host_of(url)
        with self._lock:
            at = self._given_up.get(host)
            if at is not None:
                if self._clock() - at < UNREACHABLE_SECONDS:
                    failed, error = self._failed[host]
                    reason = console.without_url(failed, str(error))
                    raise type(error)(f"{reason}; the host was not tried again for this file")
                self._given_up[host] = self._clock()  # this file tries it, the others fail meanwhile
        try:
            stream = super().open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)
        except (ConnectFailed, DnsFailed) as exc:
            if not exc.redirected and not isinstance(exc, AddressRefused):
                with self._lock:
                    self._failed[host] = (url, exc)
                    if host in self._given_up:
                        self._given_up[host] = self._clock()
            raise
        with self._lock:
            news = host not in self._reached or host in self._given_up
            self._is_reached(host)
        if news:
            self.share(url, None)
        return stream

    def _is_reached(self, host: Host) -> None:
        self._reached.add(host)
        self._failed.pop(host, None)
        self._given_up.pop(host, None)


# Each file asks some times; a list may have a million.
@lru_cache(maxsize=4096)
def host_of(url: str) -> Host:
    """Scheme, host and port of ``url``; None if it is invalid."""
    try:
        return parse(url).origin
    except InvalidUrl:
        return None
