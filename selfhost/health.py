"""Whether the process of this container does its work: ``python -m selfhost.health [server|worker]``.

Docker asks every few seconds and reads the exit status; people read the line. Without an argument the container's first
process says which it is.
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
    """What is wrong with the server on this machine: it must say, from the table, that it does not know an id.

    It has read the settings; to load them here would cost three times what the question does, every few seconds.
    """
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 5000), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"/check?id={uuid.UUID(int=0)}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"the server does not answer: {exc}"
    finally:
        connection.close()
    return None if status == HTTPStatus.NOT_FOUND else f"the server answers {status} instead of 404"


def worker() -> str | None:
    """What is wrong with an RQ worker on this machine: it runs, or nobody would ask, but Redis must answer it.

    Whether Redis knows the worker tells nothing: after a loss of data it does not, and the worker works all the same.
    """
    # Only who asks for it pays for the import.
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
    """What a process with this command line is; None for one that has nothing to be asked."""
    if b"selfhost.server" in command:
        return "server"
    return "worker" if b"rq" in {part.rsplit(b"/", 1)[-1] for part in command.split(b"\0")} else None


def main() -> int:
    """Print one line; return 0 when all is well, else 1."""
    process = sys.argv[1] if sys.argv[1:] else kind(Path("/proc/1/cmdline").read_bytes())
    if process not in ("server", "worker", None):
        sys.exit("usage: python -m selfhost.health [server|worker]")
    wrong = server() if process == "server" else worker() if process == "worker" else None
    print(wrong or "healthy")  # noqa: T201 - a command line
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
