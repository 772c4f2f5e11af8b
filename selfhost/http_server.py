"""The HTTP server for strangers: uvicorn with ``LimitedProtocol``, a bounded log, and an early call at a stop."""

from __future__ import annotations

import logging
from asyncio import CancelledError, get_running_loop
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from selfhost.bounded_log import BoundedLog
from selfhost.http_protocol import LimitedProtocol, Times
from selfhost.listener import BACKLOG

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp

    from selfhost.connections import Connections

log = logging.getLogger("urlsum.server")

# Requests take milliseconds; one that is still open after this has a client that does not read.
DRAIN_SECONDS = 1
# The loggers of which a stranger can cause as many records as they like.
LOGGERS_OF_STRANGERS = ("asyncio", "uvicorn.error", "urlsum.server", "urlsum.web.problems")


class HttpServer(uvicorn.Server):
    """uvicorn that serves ``app`` with limits for strangers: ``connections``, ``times`` and a bounded log.

    ``on_signal`` is called at once by the signal that ends the server, so that requests and tasks end together.
    """

    on_signal: Callable[[], None] | None = None

    def __init__(self, app: ASGIApp, connections: Connections, times: Times = Times()) -> None:  # noqa: B008 - frozen
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(LimitedProtocol, connections, times),  # type: ignore[arg-type] # uvicorn only calls it
                ws="none",  # a library that happens to be installed would take connections out of the limits
                log_config=None,
                access_log=False,
                lifespan="off",
                backlog=BACKLOG,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                server_header=False,
                # uvicorn would take the client from X-Forwarded-For of any process on this machine, and TRUSTED_PROXIES
                # decides.
                proxy_headers=False,
            )
        )
        self._bounded_log = BoundedLog()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on ``sockets`` until a signal."""
        faults = logging.getLogger("uvicorn.error")
        loggers = [logging.getLogger(name) for name in LOGGERS_OF_STRANGERS]
        faults.addFilter(_no_fault)
        for each in loggers:
            each.addFilter(self._bounded_log)
        try:
            super().run(sockets)
        finally:
            for each in loggers:
                each.removeFilter(self._bounded_log)
            faults.removeFilter(_no_fault)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept."""
        get_running_loop().set_exception_handler(_on_loop_error)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Do what is due ten times a second; return whether to exit."""
        if counter % 10 == 0:
            self._bounded_log.flush()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; uvicorn ends its loop within 0.1 s."""
        if self.on_signal is not None:
            self.on_signal()
        super().handle_exit(sig, frame)


def _no_fault(record: logging.LogRecord) -> bool:
    """Whether to log ``record``: a request that was cancelled by the stop is no fault, and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


def _on_loop_error(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that asyncio met. One of accept(2), such as too many open files, is one line without traceback."""
    error = context.get("exception")
    if isinstance(error, OSError) and "socket.accept()" in context["message"]:
        log.error("cannot accept connections: %s", error.strerror)
    else:
        loop.default_exception_handler(context)
