"""What plain ``rq worker`` processes leave to others, done by a thread of the server.

Delayed messages have to be put into line when their time comes, and jobs of workers that died have to be given to
others. RQ's workers do the first only when started with ``--with-scheduler``, and the second every ten minutes.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from urlsum.errors import Unavailable

if TYPE_CHECKING:
    from urlsum.queues.redis import RedisQueue

log = logging.getLogger("urlsum.housekeeper")

# RQ counts delays in whole seconds. Two small requests to Redis.
TIDY_SECONDS = 1.0


class Housekeeper:
    """A thread that keeps the queue tidy until ``stop``. Several servers may have one each."""

    def __init__(self, queue: RedisQueue, *, tidy_seconds: float = TIDY_SECONDS) -> None:
        self._queue = queue
        self._tidy_seconds = tidy_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; what it is doing is safe to be cut."""
        self._stopping.set()

    def _run(self) -> None:
        trouble = False
        while not self._stopping.wait(self._tidy_seconds):
            try:
                self._queue.tidy()
                trouble = False
            except Unavailable as exc:
                if not trouble:  # one line for an outage, not one a second
                    log.warning("%s", exc)
                trouble = True
            except Exception:
                log.exception("unexpected; going on")
