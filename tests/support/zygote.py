"""Forks worker processes from one that has imported them already: a start takes milliseconds instead of a second.

``python -m tests.support.zygote`` reads orders, one line of JSON each: ``{"entry": "module:function", "env": {…},
"log": "…"}``. It forks a process that calls the function under that environment, and answers its pid. When standard
input ends, so do all of them. Nothing is connected, opened or started before the fork.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

PRELOADED = (
    "selfhost.worker",
    "tests.support.workers",
    "urlsum.mail.outbox",
    "urlsum.origin.http",
    "urlsum.queues.sqs",
    "urlsum.tables.dynamodb",
    "urlsum.tables.sql",
    "pymysql",
)


def _run(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["env"])
    from urlsum import settings  # noqa: PLC0415 - after the environment

    settings.load.cache_clear()
    module, _, function = order["entry"].partition(":")
    getattr(importlib.import_module(module), function)()


def main() -> None:
    """Fork as ordered."""
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    pids = []
    print("ready", flush=True)  # noqa: T201 - the answer
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                _run(json.loads(line))
            except BaseException:  # noqa: BLE001 - it must not come back into the loop
                traceback.print_exc()
            os._exit(1)
        pids.append(pid)
        print(pid, flush=True)  # noqa: T201 - the answer
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
