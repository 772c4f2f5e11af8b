"""The slots of a self-hosted worker: a few threads that handle deliveries, and one that sweeps."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from urlsum import wiring
from urlsum.deadline import Deadline
from urlsum.errors import ClockSkewed, TableUnavailable, Unavailable
from urlsum.tables.clock import REFRESH_SECONDS
from urlsum.worker.delivery import handle_message
from urlsum.worker.emails import EmailThreads
from urlsum.worker.sweep import purge, sweep
from urlsum.worker.turns import LOOK_SECONDS, Turns, share

if TYPE_CHECKING:
    from urlsum import settings
    from urlsum.queues import Delivery
    from urlsum.task import Task
    from urlsum.wiring import Services
    from urlsum.worker.turns import Turn

log = logging.getLogger("urlsum.worker")

# Threads of one process, each with one task at a time. MD5 and TLS release the GIL, so a few threads share a small
# machine well, and while some tasks wait for the disk (group commit), others are read. A quarter of them is kept for
# tasks that are new (urlsum.worker.turns). Memory is bounded by the buffers that all threads share.
SLOTS = 8
# Several processes divide the slots, but a file that waits for its origin must not block a whole core.
LEAST_SLOTS = 4
# The longest wait for a delivery, and so the longest time until the loop notices a stop.
POLL_SECONDS = 0.5
# Pause after a store or queue that does not answer, or after a message that must come again.
PAUSE_SECONDS = 2.0
# From the signal to the end of the process: a running slice has checkpointed well before, or is abandoned to its lease.
# Ctrl-C is promised to take no more than two seconds in all.
GRACE_SECONDS = 1.5
# The time for handing back leases of connections, a few writes; otherwise they lapse in seconds.
HAND_BACK_SECONDS = 0.2


class Worker:
    """A few threads, each of which takes the next delivery by itself; stops quickly without losing a task."""

    def __init__(self, config: settings.Settings, *, processes: int = 1, number: int = 0) -> None:
        self.stopping = threading.Event()
        self.services: Services = wiring.wire(config, processes=processes, number=number)
        self.running: set[str] = set()
        slots = SLOTS if processes == 1 else max(LEAST_SLOTS, math.ceil(SLOTS / processes))
        self.slots = [threading.Thread(target=self._slot, name=f"slot {n}", daemon=True) for n in range(slots)]
        # One of several sweeps for all; if it dies, it is restarted.
        self._sweeps = number == 0
        self.sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self.turns = Turns(config.hand_over_seconds, self.services.monotonic, slots=slots)
        self.watcher = threading.Thread(target=self._watch, name="turns", daemon=True)
        # As many as a share of the slots, but none of the slots: tasks are hashed while a mail server is silent.
        self.emails = EmailThreads(self.services, self._send_again, threads=share(slots))
        self._looking = threading.Lock()

    def stop(self, *_: object) -> None:
        """Have the running slices checkpoint, release their leases and end."""
        self.stopping.set()

    def run(self) -> None:
        """Work until ``stop``. Raises ClockSkewed at the start."""
        while not self._synchronized() and not self.stopping.is_set():
            self.stopping.wait(PAUSE_SECONDS)
        if self._sweeps:
            self.sweeper.start()
        self.watcher.start()
        for slot in self.slots:
            slot.start()
        self.stopping.wait()
        until = time.monotonic() + GRACE_SECONDS
        while (self.running or self.emails.busy) and time.monotonic() < until:
            time.sleep(0.02)
        handing_back = threading.Thread(target=self.services.rest, daemon=True)
        handing_back.start()
        handing_back.join(HAND_BACK_SECONDS)

    def _synchronized(self) -> bool:
        """Set the clock; False if the database does not answer. Raises ClockSkewed."""
        try:
            self.services.synchronize()
        except TableUnavailable as exc:
            if not exc.reported:
                log.warning("%s; retrying in %g s", exc, PAUSE_SECONDS)
            return False
        return True

    def _slot(self) -> None:
        while not self.stopping.is_set():
            try:
                if taken := self._next():
                    delivery, turn = taken
                    self._work(delivery, turn)
                    self.turns.end(turn)
                    self.running.discard(delivery.receipt)
            except Unavailable as exc:
                if not exc.reported:
                    log.warning("%s; retrying in %g s", exc, PAUSE_SECONDS)
                self.stopping.wait(PAUSE_SECONDS)
            except Exception:
                log.exception("cannot take the next task")
                self.stopping.wait(PAUSE_SECONDS)

    def _next(self) -> tuple[Delivery, Turn] | None:
        """The next delivery; None if there is none for now. One slot asks the queue at a time, the others wait."""
        with self._looking:
            if self.stopping.is_set():
                return None
            # One only: a delivery that is received and not handled is hidden from other processes.
            deliveries = self.services.queue.receive(1, wait=POLL_SECONDS, order=self.turns.order)
            # The table queue offers a row until it is claimed, so a delivery that is being handled may come again.
            for delivery in deliveries:
                if delivery.receipt not in self.running:
                    self.running.add(delivery.receipt)
                    return delivery, self.turns.begin(continued=delivery.continued)
            self.stopping.wait(POLL_SECONDS)
            return None

    def _work(self, delivery: Delivery, turn: Turn) -> None:
        services = self.services
        try:
            # Nothing outside ends this process: SLICE_SECONDS alone bounds a slice.
            deadline = Deadline.after(services.settings.slice_seconds, is_cancelled=self.stopping.is_set)
            if handle_message(delivery.body, services, deadline=deadline, turn=turn, post=self.emails.post):
                services.queue.delete(delivery)
            else:
                self.stopping.wait(PAUSE_SECONDS)
        except Unavailable as exc:  # of the deletion: the message comes again, to no effect
            if not exc.reported:
                log.warning("delivery %s: %s", delivery.message_id, exc)
        except Exception:
            log.exception("delivery %s", delivery.message_id)
            self.stopping.wait(PAUSE_SECONDS)

    def _send_again(self, task: Task, delay: float) -> None:
        self.services.queue.send(task.id, delay=delay, continued=task.continued)

    def _watch(self) -> None:
        synchronize_at = time.monotonic() + REFRESH_SECONDS
        while not self.stopping.wait(LOOK_SECONDS):
            try:
                self.turns.look(self.services.queue)
                if time.monotonic() >= synchronize_at:
                    synchronize_at = time.monotonic() + REFRESH_SECONDS
                    self.services.synchronize()
            except Unavailable:
                continue  # the slots say so
            except ClockSkewed as exc:
                log.error("%s", exc)  # noqa: TRY400 - one line; the clock is corrected all the same
            except Exception:
                log.exception("cannot see what waits")

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
                    limiter=services.limiter,
                    stop=self.stopping.is_set,
                )
                purge(services.records, services.clock(), stop=self.stopping.is_set)
            except Unavailable as exc:
                if not exc.reported:
                    log.warning("the sweep failed: %s", exc)
            except Exception:
                log.exception("the sweep failed")
            self.stopping.wait(services.settings.sweep_seconds)
