"""moto in its own process, which serves one request at a time.

moto checks a condition and then writes, without a lock; DynamoDB does both atomically. A single thread for all requests
has the same effect. ``python -m tests.support.aws.moto_process`` prints its port and serves until standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.processes.worker_group import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


class Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def main() -> None:
    """Serve."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), request_handler=Silent)

    def stop() -> None:
        sys.stdin.read()
        server.shutdown()

    threading.Thread(target=stop, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201 - the answer
    server.serve_forever(poll_interval=0.05)


@contextmanager
def moto_process() -> Iterator[str]:
    """Yield the endpoint of a running moto."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.aws.moto_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate()


if __name__ == "__main__":
    main()
