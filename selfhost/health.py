"""Health check of the container's process: ``python -m selfhost.health [server|worker]``.

Docker runs it every few seconds and reads the exit status; people read the line. Without an argument the command line
of the container's first process decides which check it is.
"""

from __future__ import annotations

import http.client
import os
import sys
import uuid
from http import HTTPStatus
from pathlib import Path

# A request takes milliseconds; one that waits for a database in trouble is answered 503 after its time-outs.
ANSWER_SECONDS = 8.0


def server() -> str | None:
    """The fault of the server on this machine, if any: it must answer 404 for an unknown id, from the table.

    The port comes straight from the environment: loading the settings would cost three times as much as the request.
    """
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 5000), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"/check?id={uuid.UUID(int=0)}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"the server does not answer: {exc}"
    finally:
        connection.close()
    return None if status == HTTPStatus.NOT_FOUND else f"the server answered {status} instead of 404"


def worker() -> str | None:
    """The fault of the RQ worker on this machine, if any: Redis must answer.

    That Redis knows the worker is no criterion: after a loss of data it does not, and the worker works all the same.
    """
    # Imported here, because the check of a server runs every few seconds and needs none of it.
    from redis.exceptions import RedisError  # noqa: PLC0415

    from urlsum import settings  # noqa: PLC0415
    from urlsum.queues.redis import client  # noqa: PLC0415

    config = settings.load()
    if config.redis_url is None:
        return "REDIS_URL is not set"
    try:
        client(config.redis_url).ping()
    except RedisError as exc:
        return f"Redis does not answer: {exc}"
    return None


def kind(command: bytes) -> str | None:
    """The check for a process with this command line; None if there is none."""
    if b"selfhost.server" in command:
        return "server"
    return "worker" if b"rq" in {part.rsplit(b"/", 1)[-1] for part in command.split(b"\0")} else None


def main() -> int:
    """Print one line; return 0 if the process is healthy, else 1."""
    process = sys.argv[1] if sys.argv[1:] else kind(Path("/proc/1/cmdline").read_bytes())
    if process not in ("server", "worker", None):
        sys.exit("usage: python -m selfhost.health [server|worker]")
    wrong = server() if process == "server" else worker() if process == "worker" else None
    print(wrong or "healthy")  # noqa: T201 - a command line
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
