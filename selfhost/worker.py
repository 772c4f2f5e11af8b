"""The self-hosted worker: a few threads that handle deliveries, and one that sweeps."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from urlsum import settings, wiring
from urlsum.deadline import Deadline
from urlsum.errors import SettingsError, Unavailable
from urlsum.worker.delivery import handle_message
from urlsum.worker.sweep import sweep

if TYPE_CHECKING:
    from urlsum.queues import Delivery
    from urlsum.wiring import Services

log = logging.getLogger("urlsum.worker")

# Threads of one process, each with one task at a time. MD5 and TLS release the GIL, so a few threads share a small
# machine well; huge or slow files then do not block small ones, and while some tasks wait for the disk (group commit),
# others are read. Memory is bounded by the buffers that all threads share.
SLOTS = 8
# The longest wait for a delivery, and so the longest time until the loop notices a stop.
POLL_SECONDS = 0.5
# Pause after a store or queue that does not answer, or after a message that must come again.
PAUSE_SECONDS = 2.0
# From the signal to the end of the process: a running slice has checkpointed well before, or is abandoned to its lease.
# Ctrl-C is promised to take no more than two seconds in all.
GRACE_SECONDS = 1.5


class Worker:
    """A few threads, each of which takes the next delivery by itself; stops quickly without losing a task."""

    def __init__(self, config: settings.Settings) -> None:
        self.stopping = threading.Event()
        self.services: Services = wiring.wire(config)
        self.running: set[str] = set()
        self.slots = [threading.Thread(target=self._slot, name=f"slot {n}", daemon=True) for n in range(SLOTS)]
        self.sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._looking = threading.Lock()

    def stop(self, *_: object) -> None:
        """Have the running slices checkpoint, release their leases and end."""
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
                log.warning("%s; retrying in %g s", exc, PAUSE_SECONDS)
                self.stopping.wait(PAUSE_SECONDS)
            except Exception:
                log.exception("cannot take the next task")
                self.stopping.wait(PAUSE_SECONDS)

    def _next(self) -> Delivery | None:
        """The next delivery; None if there is none for now. One slot asks the queue at a time, the others wait."""
        with self._looking:
            if self.stopping.is_set():
                return None
            # One only: a delivery that is received and not handled is hidden from other processes.
            deliveries = self.services.queue.receive(1, wait=POLL_SECONDS)
            # The table queue offers a row until it is claimed, so a delivery that is being handled may come again.
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
            deadline = Deadline.after(services.settings.slice_seconds, is_cancelled=self.stopping.is_set)
            if handle_message(delivery.body, services, deadline=deadline):
                services.queue.delete(delivery)
            else:
                self.stopping.wait(PAUSE_SECONDS)
        except Unavailable as exc:  # of the deletion: the message comes again, to no effect
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
                log.warning("the sweep failed: %s", exc)
            except Exception:
                log.exception("the sweep failed")
            self.stopping.wait(services.settings.sweep_seconds)


def _stop_with_parent(worker: Worker) -> None:
    """Stop when standard input ends: the server holds the other end of the pipe, which closes however it dies."""

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
    # Not sys.exit, which would wait for threads whose origin is silent. Their leases lapse by themselves.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
