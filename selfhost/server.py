"""The self-hosted service: the routes under uvicorn, and beside them embedded workers or RQ's maintenance."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from functions.check.app import router as check
from functions.submit.app import router as submit
from selfhost import memory
from selfhost.clock_watch import ClockWatch
from selfhost.connections import Connections
from selfhost.healthz import router as healthz
from selfhost.hosts import OwnHosts, own_hosts
from selfhost.http_server import HttpServer
from selfhost.listener import EVERYWHERE, connections_within_limits, listen_everywhere
from selfhost.metrics import router as metrics
from selfhost.migrate import upgrade
from selfhost.prefix import Prefix, prefix_of
from selfhost.worker_processes import WorkerProcesses, count
from urlsum import settings, wiring
from urlsum.errors import SettingsError, TableUnavailable
from urlsum.tables.engine import shown
from urlsum.web.application import application
from urlsum.web.cross_site import allow_origins

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from selfhost.rq_emails import RqEmails
    from selfhost.rq_maintenance import RqMaintenance
    from urlsum.settings import Settings

log = logging.getLogger("urlsum.server")

# The port has another program, or is one of the system's (below 1024).
OF_PORT = frozenset({errno.EADDRINUSE, errno.EACCES})
LOOPBACK = "127.0.0.0/8,::1/128"


def _beside(config: Settings) -> list[ClockWatch | WorkerProcesses | RqMaintenance | RqEmails]:
    """The companions of the routes: the clock's, and the embedded workers or what RQ's workers leave to the server."""
    clock = ClockWatch(wiring.services())
    if config.tasks_queue_url:
        return [clock]
    if config.redis_url:
        from selfhost.rq_emails import RqEmails  # noqa: PLC0415 - loads RQ
        from selfhost.rq_maintenance import RqMaintenance  # noqa: PLC0415

        services, queue = wiring.services(), wiring.redis_queue(config, wiring.services().clock)
        return [clock, RqMaintenance(services, queue), RqEmails(services, queue)]
    return [clock, WorkerProcesses(count(config.worker_processes))]


def ignored_by_compose() -> list[str]:
    """A sentence for each variable of .env that compose.yaml ignores, unless the one in its place is set."""
    ignored, replaced = (os.environ.get(f"COMPOSE_{kind}", "").split() for kind in ("IGNORES", "REPLACES"))
    return [
        f"{name} of .env is not used in compose; COMPOSE_{name} takes its place"
        for name in ignored
        if name not in replaced
    ]


def _banner(config: Settings, host: str) -> str:
    everywhere = host in (EVERYWHERE, "0.0.0.0")  # noqa: S104 - compared
    name = "127.0.0.1" if everywhere or host == settings.LOCALHOST else f"[{host}]" if ":" in host else host
    base = f"http://{name}:{config.port}"
    store = config.tasks_table or shown(config.database_uri)
    mail = {
        "outbox": f"written as .eml files to {config.outbox_dir}/",
        "smtp": f"sent through {config.mail_server}:{config.mail_port}",
        "ses": "sent through Amazon SES",
    }[config.mail_backend]
    notes = [*([config.notice] if config.notice else []), *settings.misspelt(), *ignored_by_compose()]
    note = "".join(f"  note:  {each}\n" for each in notes)
    rq = config.redis_url is not None and config.tasks_queue_url is None
    work = f"  work:  done by `rq worker -u REDIS_URL {config.tasks_queue_name}`\n" if rq else ""
    return (
        f"\nurlsum is listening on {base}{' and every other address' if everywhere else ''}  (API docs: {base}/docs)\n"
        f"  tasks: {store}\n"
        f"{work}"
        f"  email: {mail}\n"
        f"{note}"
        f"Try:\n"
        f"  curl -d url=https://www.python.org/static/favicon.ico {base}/submit\n"
        f"Press Ctrl-C to stop; unfinished tasks resume at the next start.\n\n"
    )


def _prepare(config: Settings, host: str) -> list[socket.socket]:
    """Check at start all that the settings name, and bind the port. Raises SettingsError."""
    memory.check()
    wiring.services()
    if config.mail_backend == "outbox":
        from urlsum.mail.outbox import make_directory  # noqa: PLC0415 - as in the composition root

        try:
            make_directory(config.outbox_dir)
        except OSError as exc:
            raise SettingsError(f"OUTBOX_DIR: {config.outbox_dir}: {exc.strerror}") from exc
    if config.tasks_table is None:
        try:
            upgrade(config.database_uri)
            wiring.services().synchronize()
        except TableUnavailable as exc:
            raise SettingsError(f"DATABASE_URI: {exc}") from exc
    else:
        with suppress(TableUnavailable):  # the health check says so
            wiring.services().synchronize()
    try:
        return listen_everywhere(host, config.port)
    except OSError as exc:
        if exc.errno not in OF_PORT:
            raise SettingsError(
                f"HOST: cannot listen on {host}: {exc.strerror}; name an address of this machine"
            ) from exc
        raise SettingsError(
            f"PORT: cannot listen on {host}:{config.port}: {exc.strerror}; choose another port"
        ) from exc


def serve(host: str | None = None) -> None:
    """Serve on ``host``, by default that of the settings, until SIGINT or SIGTERM.

    These may also come out as KeyboardInterrupt. Raises SettingsError.
    """
    config = settings.load()
    host = host or config.host
    listeners = _prepare(config, host)
    app: ASGIApp = allow_origins(application(submit, check, healthz, metrics), config)
    if prefix := prefix_of(config.public_url):
        app = Prefix(app, prefix)
    is_own = own_hosts(config, listeners[0].getsockname()[0])
    most = connections_within_limits(config.max_connections)
    connections = Connections(most, config.max_connections_per_client, config.trusted_proxies)
    server = HttpServer(app if is_own is None else OwnHosts(app, is_own), connections)
    sys.stdout.write(_banner(config, host))
    sys.stdout.flush()
    companions = _beside(config)

    def ask_to_stop() -> None:
        for companion in companions:
            companion.ask_to_stop()

    server.on_signal = ask_to_stop
    for companion in companions:
        companion.start()
    try:
        server.run(sockets=listeners)  # raises the signal that ended it again at the end
    finally:
        # A second Ctrl-C must not interrupt the clean-up, which ends within two seconds.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for companion in companions:
            companion.stop()


def main() -> int:
    """Migrate, then serve until SIGINT or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m selfhost.server", description=__doc__)
    parser.add_argument("--host", help="address to listen on (default: the setting HOST, localhost)")
    parser.add_argument(
        "--allow-loopback", action="store_true", help="read files of this machine, unless ALLOWED_NETWORKS is set"
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("urlsum").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.allow_loopback and not settings.is_set("ALLOWED_NETWORKS"):
            os.environ["ALLOWED_NETWORKS"] = LOOPBACK  # for the workers too
        serve(options.host)
    except SettingsError as exc:
        sys.stderr.write(f"urlsum: {exc}\n")
        return 2
    except KeyboardInterrupt:
        pass  # both signals end the server this way
    return 0


if __name__ == "__main__":
    ended_with = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit, which would wait for threads in a request whose table is silent.
    os._exit(ended_with)
