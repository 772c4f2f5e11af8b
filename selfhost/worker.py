"""The self-hosted worker: a few threads that handle deliveries, and one that sweeps."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from urlsum import settings, wiring
from urlsum.errors import SettingsError, Unavailable
from urlsum.worker.delivery import handle_message
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from urlsum.queues import Delivery
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.worker")

# Tasks worked on at once by one process. MD5 and TLS release the GIL, so a few share a small machine well; huge or slow
# files then leave room for small ones. While some of those wait for the disk, together (tables.disk), others are read.
# Memory is bounded by the buffers that all of them share.
SLOTS = 8
# How long one look at the queue may wait: also how quickly the loop sees that it is to stop.
POLL_SECONDS = 0.5
# After a store or queue that does not answer, or a record that must come again, before the next look.
PAUSE_SECONDS = 2.0
# From the wish to stop to the end of the process: what runs has checkpointed well before, or is abandoned to
# its lease. Ctrl-C is promised to take no more than two seconds in all.
GRACE_SECONDS = 1.5


class Worker:
    """A few threads, each of which takes the next delivery by itself; stops quickly without losing anything."""

    def __init__(self, config: settings.Settings) -> None:
        self.stopping = threading.Event()
        self.services: Services = wiring.wire(config, monotonic=self.monotonic)
        self.running: set[str] = set()
        self.slots = [threading.Thread(target=self._slot, name=f"slot {n}", daemon=True) for n in range(SLOTS)]
        self.sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._looking = threading.Lock()

    def monotonic(self) -> float:
        """The clock of all deadlines; once the worker is stopping, every deadline has passed."""
        return math.inf if self.stopping.is_set() else time.monotonic()

    def stop(self, *_: object) -> None:
        """Let running slices checkpoint, give their leases back and end."""
        self.stopping.set()

    def run(self) -> None:
        """Work until ``stop``."""
        self.sweeper.start()
        for slot in self.slots:
            slot.start()
        self.stopping.wait()
        until = time.monotonic() + GRACE_SECONDS
        while self.running and time.monotonic() < until:
            time.sleep(0.02)

    def _slot(self) -> None:
        while not self.stopping.is_set():
            try:
                if delivery := self._next():
                    self._work(delivery)
                    self.running.discard(delivery.receipt)
            except Unavailable as exc:
                log.warning("%s; looking again in %g s", exc, PAUSE_SECONDS)
                self.stopping.wait(PAUSE_SECONDS)
            except Exception:
                log.exception("looking for work")
                self.stopping.wait(PAUSE_SECONDS)

    def _next(self) -> Delivery | None:
        """The next delivery; None when there is none for now. One slot looks at a time, the others wait their turn."""
        with self._looking:
            if self.stopping.is_set():
                return None
            # No more than this slot works on: what is received and not worked on is hidden from the others.
            deliveries = self.services.queue.receive(1, wait=POLL_SECONDS)
            # A table queue offers a row until it is claimed, so one that is being worked on may come again.
            for delivery in deliveries:
                if delivery.receipt not in self.running:
                    self.running.add(delivery.receipt)
                    return delivery
            self.stopping.wait(POLL_SECONDS)
            return None

    def _work(self, delivery: Delivery) -> None:
        services = self.services
        try:
            # Nothing outside ends this process: SLICE_SECONDS alone bounds a slice.
            if handle_message(delivery.body, services, deadline=services.monotonic() + services.settings.slice_seconds):
                services.queue.delete(delivery)
            else:
                self.stopping.wait(PAUSE_SECONDS)
        except Unavailable as exc:  # the queue, which was to delete it; it comes again, to no effect
            log.warning("delivery %s: %s", delivery.message_id, exc)
        except Exception:
            log.exception("delivery %s", delivery.message_id)
            self.stopping.wait(PAUSE_SECONDS)

    def _sweep(self) -> None:
        # The first one at once: the last process may have left stranded tasks behind.
        services = self.services
        while not self.stopping.is_set():
            try:
                sweep(
                    services.table,
                    services.queue,
                    now=services.clock(),
                    settings=services.settings,
                    stop=self.stopping.is_set,
                )
            except Unavailable as exc:
                log.warning("the sweep: %s", exc)
            except Exception:
                log.exception("the sweep")
            self.stopping.wait(services.settings.sweep_seconds)


def _stop_with_parent(worker: Worker) -> None:
    """Stop when standard input ends: the server holds its other end, and however it dies, the pipe closes."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        worker.stop()

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Run one worker in the foreground until SIGTERM or SIGINT."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("urlsum").setLevel(logging.INFO)
    try:
        worker = Worker(settings.load())
    except SettingsError as exc:
        sys.stderr.write(f"urlsum: {exc}\n")
        return 2
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    if "--embedded" in sys.argv[1:]:
        _stop_with_parent(worker)
    worker.run()
    logging.shutdown()
    # Not sys.exit: that would wait for threads whose origin is silent. Their leases lapse by themselves.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
