"""A fork server: forks worker processes from one that has done the imports, in milliseconds instead of a second.

``python -m tests.support.processes.fork_server`` reads orders, one line of JSON each, and prints a pid for each:

- ``{"entry": "module:function", "env": {…}, "log": "…"}`` forks a process that calls the function in that environment;
- ``{"kill": pid}`` kills that process and reaps it.

When standard input ends, all processes are killed. Only these orders reap a process, even if it died by itself: until
then its pid is not reused, so a signal never reaches another process. Before the fork there are neither connections nor
threads.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

PRELOADED = (
    "selfhost.slots",
    "selfhost.worker",
    "tests.support.processes.worker_processes",
    "urlsum.mail.outbox",
    "urlsum.origin.source",
    "urlsum.queues.sqs",
    "urlsum.tables.dynamodb",
    "urlsum.tables.sql",
    "pymysql",
)


def _run(order: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["env"])
    from urlsum import settings  # noqa: PLC0415 - after the environment

    settings.load.cache_clear()
    module, _, function = order["entry"].partition(":")
    getattr(importlib.import_module(module), function)()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main() -> None:
    """Execute orders until standard input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # not an inherited handler: dead children must stay zombies until this process reaps them
    pids: set[int] = set()
    print("ready", flush=True)  # noqa: T201 - the answer
    for line in sys.stdin:
        order = json.loads(line)
        if "kill" in order:
            pid = order["kill"]
            _kill(pid)
            pids.remove(pid)
        else:
            pid = os.fork()
            if pid == 0:
                try:
                    _run(order)
                except BaseException:  # noqa: BLE001 - the fork must not return into the loop
                    traceback.print_exc()
                os._exit(1)
            pids.add(pid)
        print(pid, flush=True)  # noqa: T201 - the answer
    for pid in pids:
        _kill(pid)


if __name__ == "__main__":
    main()
