"""Health check of the container's process: ``python -m selfhost.health [server|worker]``.

Docker runs it every few seconds and reads the exit status; people read the line. Without an argument the command line
of the container's first process decides which check it is. A process is healthy if its stores take what it writes
(``urlsum.health``).
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# A request takes milliseconds; one that waits for a database in trouble is answered 503 after its time-outs.
ANSWER_SECONDS = 8.0
# The process of the container that is checked.
COMMAND_LINE = Path("/proc/1/cmdline")
# Where a server answers that listens on every address, be it of IPv4 or IPv6.
LOOPBACK = "127.0.0.1"


class Found(NamedTuple):
    """What a check found. Only faults make a process unhealthy."""

    faults: Sequence[str] = ()
    warnings: Sequence[str] = ()


def server(host: str = LOOPBACK) -> Found:
    """What is wrong with the server at ``host``, as its /healthz names it.

    The port comes straight from the environment: loading the settings would cost three times as much as the request.
    """
    port = int(os.environ.get("PORT", "").strip(" \t'\"") or 5000)
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        # ALLOWED_HOSTS need not contain the address.
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as exc:
        return Found([f"the server does not answer: {exc}"])
    finally:
        connection.close()
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(body)
        if found["faults"] or response.status == HTTPStatus.OK:
            return Found(found["faults"], found["warnings"])
    return Found([f"the server answered {response.status}"])


def worker(command: bytes) -> Found:
    """What is wrong with a worker with this command line: its table and its queue must take what it writes.

    An RQ worker takes its messages from the Redis of its option ``--url``, if it has one. That Redis knows the worker
    is no criterion: after a loss of data it does not, and the worker works all the same.
    """
    # Imported here, because the check of a server runs every few seconds and needs none of it.
    from msgspec.structs import replace  # noqa: PLC0415

    from urlsum import settings, wiring  # noqa: PLC0415
    from urlsum.errors import SettingsError  # noqa: PLC0415

    try:
        config = settings.load()
        config = replace(config, redis_url=_url(command) or config.redis_url)
        if config.redis_url is None and b"selfhost.worker" not in command:
            return Found(["REDIS_URL is not set"])
        found = wiring.health_check(config)()
    except SettingsError as exc:
        return Found([str(exc)])
    return Found(found.faults, found.warnings)


def kind(command: bytes) -> str | None:
    """The check for a process with this command line; None if there is none."""
    if b"selfhost.server" in command:
        return "server"
    names = {part.rsplit(b"/", 1)[-1] for part in command.split(b"\0")}
    return "worker" if names & {b"rq", b"selfhost.worker"} else None


def address(command: bytes) -> str:
    """Where to reach the server with this command line."""
    host = _option(command, "--host") or os.environ.get("HOST", "").strip(" \t'\"")
    return LOOPBACK if host in ("", "::", "0.0.0.0") else host  # noqa: S104 - compared


def _url(command: bytes) -> str | None:
    """The value of the option --url (-u) in a command line of ``rq worker``."""
    _, _, options = command.partition(b"\0worker\0")
    return _option(options, "-u", "--url")


def _option(command: bytes, *names: str) -> str | None:
    """The value of the option with one of these ``names`` in a command line; of several, the last one counts."""
    value = None
    parts = [part.decode(errors="replace") for part in command.split(b"\0")]
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        name, equals, text = part.partition("=")
        if part in names:
            value = after
        elif equals and name in names:
            value = text
    return value or None


def main() -> int:
    """Print one line; return 0 if the process is healthy, else 1."""
    command = COMMAND_LINE.read_bytes()
    process = sys.argv[1] if sys.argv[1:] else kind(command)
    if process not in ("server", "worker", None):
        sys.exit("usage: python -m selfhost.health [server|worker]")
    found = server(address(command)) if process == "server" else worker(command) if process == "worker" else Found()
    print("; ".join(found.faults or ["healthy", *found.warnings]))  # noqa: T201 - a command line
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
