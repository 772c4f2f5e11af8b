"""``Prefer: wait=N`` (RFC 7240, 4.3): GET /check responds once the task has ended, or after N seconds."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from urlsum.task import Task

# API gateways, load balancers and clients give up after 30 s (Amazon's HTTP APIs, browsers' fetch in practice) to 60 s.
MOST_SECONDS = 25
# How late the end of a task is noticed. A look is one read by primary key, well under 1 ms on SQLite and MySQL.
LOOK_SECONDS = 0.5
# Requests of one process that wait at once: 200 looks a second, and a twentieth of the connections. Others get their
# response at once.
MOST_WAITING = 100

# 0 to 999 s; more digits are a mistake. The value may be quoted (RFC 7240, 2).
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,3})"?', re.IGNORECASE)


def wait_seconds(request: Request) -> int | None:
    """The seconds that the client wants to wait, at most MOST_SECONDS; None if it does not. The first one counts."""
    for preference in ",".join(request.headers.getlist("Prefer")).split(","):
        if wait := _WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(wait[1]), MOST_SECONDS)
    return None


class Waiting:
    """The requests of this process that wait. They share its event loop, and hold a thread only while they look."""

    def __init__(self) -> None:
        self._count = 0

    async def for_end(
        self, read: Callable[[], Task], request: Request, seconds: int | None
    ) -> tuple[Task, Mapping[str, str]]:
        """The task as ``read`` returns it, and the header that says whether this call has waited for its end.

        It waits at most ``seconds``, and not at all if they are None or MOST_WAITING requests wait already. ``read``
        runs in a thread; its exceptions are raised here.
        """
        until = time.monotonic() + (seconds or 0)
        task = await run_in_threadpool(read)
        if seconds is None or self._count >= MOST_WAITING:
            return task, {}
        self._count += 1
        try:
            while not task.complete and (left := until - time.monotonic()) > 0:
                await asyncio.sleep(min(left, LOOK_SECONDS))
                if await request.is_disconnected():
                    break
                task = await run_in_threadpool(read)
        finally:
            self._count -= 1
        return task, {"Preference-Applied": f"wait={seconds}"}
