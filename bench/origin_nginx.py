"""The distribution's nginx as the origin: plain HTTP, and TLS 1.3 with a certificate authority created for the run."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import trustme

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_SECONDS = 10
# File servers are configured with sendfile and large chunks. No rate limits: nginx grants each request a burst of about
# a second, which favours clients that send range requests; bench/paced.py paces instead.
CONFIGURATION = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    sendfile_max_chunk 2m;
    tcp_nopush on;
    keepalive_requests 100000;
    autoindex on; # rclone lists the folder of the one file that it is asked for
    default_type application/octet-stream;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    server {{
        listen {host}:{http};
        listen {host}:{https} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.3;
        root {root};
    }}
}}
"""


class Nginx:
    """A running nginx that serves ``root``; a context manager.

    ``prefix`` is put before its command line: ``taskset``, or ``ip netns exec``.
    """

    def __init__(
        self, folder: Path, root: Path, *, host: str = "127.0.0.1", prefix: Sequence[str] = (), workers: str = "auto"
    ) -> None:
        self._folder = folder
        self._root = root
        self._prefix = prefix
        self._workers = workers
        self.host = host
        self.http, self.https = _free_ports()
        self.ca_file = folder / "ca.pem"

    def url(self, name: str, *, secure: bool = False) -> str:
        """The URL of a file below the root."""
        scheme, port = ("https", self.https) if secure else ("http", self.http)
        return f"{scheme}://{self.host}:{port}/{name}"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # If root starts nginx, its workers run as nobody and must be able to read the files.
        for folder in (self._folder, self._root):
            folder.chmod(0o755)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate = authority.issue_cert(self.host)
        certificate.private_key_pem.write_to_path(str(self._folder / "server.key"))
        for number, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(str(self._folder / "server.pem"), append=number > 0)
        configuration = self._folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=self._folder,
                root=self._root,
                host=self.host,
                http=self.http,
                https=self.https,
                workers=self._workers,
            )
        )
        self._stack = ExitStack()
        log = self._stack.enter_context((self._folder / "output.log").open("wb"))
        command = [*self._prefix, "nginx", "-c", str(configuration), "-p", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._await()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._stack.close()

    def _await(self) -> None:
        pid_file = self._folder / "nginx.pid"
        until = time.monotonic() + START_SECONDS
        while not (pid_file.exists() and pid_file.read_text().strip()):
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                raise SystemExit(f"nginx did not start: {(self._folder / 'output.log').read_text()}")
            time.sleep(0.05)


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
