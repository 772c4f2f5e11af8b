"""The self-hosted service: both routes under uvicorn, and, without a queue of its own, an embedded worker."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import uvicorn
from sqlalchemy.engine import make_url

from functions.check.app import router as check
from functions.submit.app import router as submit
from selfhost.migrate import upgrade
from urlsum import settings
from urlsum.errors import SettingsError, Unavailable
from urlsum.web.application import application

if TYPE_CHECKING:
    from urlsum.settings import Settings

log = logging.getLogger("urlsum.server")

# Before a worker that died is started again: long enough not to spin, short against a lease.
RESTART_SECONDS = 1.0
# Beyond the worker's own grace of 1.5 s it is ended from outside; its leases lapse by themselves.
WORKER_STOP_SECONDS = 1.9
# Requests take milliseconds; one that is still open after this is a client that does not read.
DRAIN_SECONDS = 1


class EmbeddedWorker:
    """A worker process beside the server, started again whenever it dies."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start the worker and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker; what it was working on goes on at the next start."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(WORKER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            # The pipe is never written to: when this process dies, however it dies, the worker reads its end.
            command = [sys.executable, "-m", "selfhost.worker", "--embedded"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 (all of it is ours)
            status = self._process.wait()
            if not self._stopping.is_set():
                log.warning("the worker ended with status %s and is started again", status)
                self._stopping.wait(RESTART_SECONDS)


def _banner(config: Settings, host: str) -> str:
    base = f"http://{host}:{config.port}"
    store = config.tasks_table or make_url(config.database_uri).render_as_string(hide_password=True)
    mail = {
        "outbox": f"written as .eml files into {config.outbox_dir}/",
        "smtp": f"sent through {config.mail_server}:{config.mail_port}",
        "ses": "sent through Amazon SES",
    }[config.mail_backend]
    return (
        f"\nurlsum listens on {base}  (the API is described at {base}/docs)\n"
        f"  tasks: {store}\n"
        f"  mail:  {mail}\n"
        f"Try:\n"
        f"  curl -d url=https://www.python.org/static/favicon.ico {base}/submit\n"
        f"Ctrl-C stops it; unfinished tasks go on at the next start.\n\n"
    )


def main() -> int:
    """Migrate, then serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m selfhost.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    host: str = parser.parse_args().host
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # uvicorn raises the signal that ended it once more when it is done; this keeps SIGTERM from skipping the clean-up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        config = settings.load()
        listener = socket.create_server((host, config.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        if config.tasks_table is None:
            upgrade(config.database_uri)
    except (SettingsError, Unavailable) as exc:
        sys.stderr.write(f"urlsum: {exc}\n")
        return 2
    except OSError as exc:
        sys.stderr.write(f"urlsum: cannot listen on {host}:{config.port}: {exc.strerror}; set PORT to another one\n")
        return 2
    worker = EmbeddedWorker() if config.tasks_queue_url is None else None
    server = uvicorn.Server(
        uvicorn.Config(
            application(submit, check),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    sys.stdout.write(_banner(config, host))
    sys.stdout.flush()
    if worker is not None:
        worker.start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn repeats the signal that ended it once it is done
    finally:
        if worker is not None:
            worker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
