"""The self-hosted worker, ``python -m selfhost.worker``: one process for each core, and one that restarts them."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from selfhost.worker_processes import WRONG_SETTINGS, WorkerProcesses, count
from urlsum import settings
from urlsum.errors import ClockSkewed, SettingsError

if TYPE_CHECKING:
    from selfhost.slots import Worker

log = logging.getLogger("urlsum.worker")


def _stop_with_parent(worker: Worker) -> None:
    """Stop when standard input ends: the server holds the other end of the pipe, which closes however it dies."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        worker.stop()

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Run the workers in the foreground until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m selfhost.worker", description=__doc__)
    parser.add_argument("--embedded", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("urlsum").setLevel(logging.INFO)
    try:
        config = settings.load()
        processes = 1 if options.embedded else count(config.worker_processes)
        if processes > 1:
            return _supervise(processes)
        # Here, because the process that starts the others needs none of it, and they wait for it.
        from selfhost.slots import Worker

        worker = Worker(config, processes=options.processes, number=options.number)
    except SettingsError as exc:
        if options.number == 0:  # the others would say the same
            sys.stderr.write(f"urlsum: {exc}\n")
        return WRONG_SETTINGS
    gc.freeze()  # modules and services stay, and no collection needs to look at them again
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    if options.embedded:
        _stop_with_parent(worker)
    else:  # a server says it in its banner
        notice = worker.services.settings.notice
        for each in [*([notice] if notice else []), *settings.misspelt()]:
            log.warning("%s", each)
    try:
        worker.run()
    except ClockSkewed as exc:
        if options.number == 0:
            sys.stderr.write(f"urlsum: {exc}\n")
        return WRONG_SETTINGS
    logging.shutdown()
    # Not sys.exit, which would wait for threads whose origin is silent. Their leases lapse by themselves.
    os._exit(0)


def _supervise(processes: int) -> int:
    workers = WorkerProcesses(processes)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: workers.ask_to_stop())
    workers.start()
    workers.ended.wait()
    workers.stop()
    return workers.status


if __name__ == "__main__":
    sys.exit(main())
