"""The self-hosted service: the routes under uvicorn, and beside them an embedded worker or RQ's maintenance."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from asyncio import CancelledError
from typing import TYPE_CHECKING

import uvicorn
from sqlalchemy.engine import make_url

from functions.check.app import router as check
from functions.submit.app import router as submit
from selfhost.migrate import upgrade
from urlsum import settings, wiring
from urlsum.errors import SettingsError, TableUnavailable
from urlsum.web.application import application

if TYPE_CHECKING:
    from types import FrameType

    from selfhost.rq_maintenance import RqMaintenance
    from urlsum.settings import Settings

log = logging.getLogger("urlsum.server")

# Pause before a dead worker is restarted: long enough not to spin, short against a lease.
RESTART_SECONDS = 1.0
# More than the worker's own grace of 1.5 s; then it is killed, and its leases lapse by themselves.
WORKER_STOP_SECONDS = 1.8
# A killed process is gone within milliseconds; without a wait it would stay a zombie until this process ends.
WORKER_REAP_SECONDS = 0.1
# Requests take milliseconds; one that is still open after this has a client that does not read.
DRAIN_SECONDS = 1


class EmbeddedWorker:
    """A worker process beside the server, restarted whenever it dies."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start the worker and keep it running."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Terminate the worker; its tasks resume at the next start."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._stop_by = time.monotonic() + WORKER_STOP_SECONDS
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Return when the worker has ended, at the latest WORKER_STOP_SECONDS after the first ``ask_to_stop``."""
        self.ask_to_stop()
        self._thread.join(max(0.0, self._stop_by - time.monotonic()))
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join(WORKER_REAP_SECONDS)

    def _supervise(self) -> None:
        command = [sys.executable, "-m", "selfhost.worker", "--embedded"]
        while not self._stopping.is_set():
            # The pipe is never written to: the worker reads its end when this process dies, however it dies. In a
            # session of its own, Ctrl-C reaches the worker through this process only, which then expects it to end.
            with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603 (all of it is ours)
                self._process = process
                if self._stopping.is_set():  # stopped while the process was being started
                    process.terminate()
                status = process.wait()
            if not self._stopping.is_set():
                log.warning("the worker exited with status %s; restarting it", status)
                self._stopping.wait(RESTART_SECONDS)


class Server(uvicorn.Server):
    """uvicorn, which passes the signal to the worker at once, so that requests and tasks end at the same time."""

    worker: EmbeddedWorker | RqMaintenance | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; uvicorn ends its loop within 0.1 s."""
        if self.worker is not None:
            self.worker.ask_to_stop()
        super().handle_exit(sig, frame)


def _beside(config: Settings) -> EmbeddedWorker | RqMaintenance | None:
    """The companion of the routes: the embedded worker, or RQ's maintenance, or nothing (SQS)."""
    if config.tasks_queue_url:
        return None
    if config.redis_url:
        from selfhost.rq_maintenance import RqMaintenance  # noqa: PLC0415 - loads RQ
        from urlsum.queues.redis import RedisQueue  # noqa: PLC0415

        services = wiring.services()
        if isinstance(services.queue, RedisQueue):
            return RqMaintenance(services, services.queue)
    return EmbeddedWorker()


def _banner(config: Settings, host: str) -> str:
    base = f"http://{host}:{config.port}"
    store = config.tasks_table or make_url(config.database_uri).render_as_string(hide_password=True)
    mail = {
        "outbox": f"written as .eml files to {config.outbox_dir}/",
        "smtp": f"sent through {config.mail_server}:{config.mail_port}",
        "ses": "sent through Amazon SES",
    }[config.mail_backend]
    rq = config.redis_url is not None and config.tasks_queue_url is None
    work = f"  work:  done by `rq worker -u REDIS_URL {config.tasks_queue_name}`\n" if rq else ""
    return (
        f"\nurlsum is listening on {base}  (API docs: {base}/docs)\n"
        f"  tasks: {store}\n"
        f"{work}"
        f"  email: {mail}\n"
        f"Try:\n"
        f"  curl -d url=https://www.python.org/static/favicon.ico {base}/submit\n"
        f"Press Ctrl-C to stop; unfinished tasks resume at the next start.\n\n"
    )


def _no_fault(record: logging.LogRecord) -> bool:
    """Whether to log ``record``: a request that was cancelled by the stop is no fault, and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


def _prepare(config: Settings, host: str) -> socket.socket:
    """Check at start all that the settings name, and bind the port. Raises SettingsError."""
    wiring.services()
    if config.mail_backend == "outbox":
        try:
            config.outbox_dir.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(f"OUTBOX_DIR: {config.outbox_dir}: {exc.strerror}") from exc
    if config.tasks_table is None:
        try:
            upgrade(config.database_uri)
        except TableUnavailable as exc:
            raise SettingsError(f"DATABASE_URI: {exc}") from exc
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, config.port), family=family)
    except OSError as exc:
        raise SettingsError(
            f"PORT: cannot listen on {host}:{config.port}: {exc.strerror}; choose another port"
        ) from exc


def serve(host: str) -> None:
    """Serve until SIGINT or SIGTERM, which may also come out as KeyboardInterrupt. Raises SettingsError."""
    config = settings.load()
    listener = _prepare(config, host)
    server = Server(
        uvicorn.Config(
            application(submit, check),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
    )
    logging.getLogger("uvicorn.error").addFilter(_no_fault)
    sys.stdout.write(_banner(config, host))
    sys.stdout.flush()
    server.worker = _beside(config)
    if server.worker is not None:
        server.worker.start()
    try:
        server.run(sockets=[listener])  # raises the signal that ended it again at the end
    finally:
        # A second Ctrl-C must not interrupt the clean-up, which ends within two seconds.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if server.worker is not None:
            server.worker.stop()


def main() -> int:
    """Migrate, then serve until SIGINT or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m selfhost.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    host: str = parser.parse_args().host
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("urlsum").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(host)
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
