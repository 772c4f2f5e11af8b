"""Web servers of Debian packages, each a process on loopback that serves one folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# .ci/run sets it to "required", so that the tests fail if a server is missing.
SWITCH = "URLSUM_TEST_SERVERS"
HOST = "127.0.0.1"
# Each listens within 0.1 s on an idle machine; a busy machine may need a hundred times as long.
START_SECONDS = 10.0
# Apache waits for clients that left a response half read, as in a failed test.
STOP_SECONDS = 1.0
# An unprivileged account of every Debian, for tests that run as root: Apache refuses to serve files as root.
ACCOUNT = "nobody"


@dataclass(frozen=True)
class Program:
    """``command`` with ``arguments`` runs a server in the foreground, configured by ``configuration``.

    The last two contain ``$folder`` for the folder of the configuration and the logs, ``$root`` for the folder that is
    served, and ``$port``. The package's defaults for reading files and creating validators stay.
    """

    package: str
    command: str
    arguments: tuple[str, ...]
    configuration: str


NGINX = Program(
    "nginx",
    "nginx",
    ("-p", "$folder", "-c", "$folder/configuration", "-e", "$folder/log"),
    """\
daemon off;
worker_processes 2;
pid $folder/pid;
events { }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path $folder/client;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port;
        root $root;
    }
}
""",
)
LIGHTTPD = Program(
    "lighttpd",
    "lighttpd",
    ("-D", "-f", "$folder/configuration"),
    """\
server.document-root = "$root"
server.bind = "127.0.0.1"
server.port = $port
server.errorlog = "$folder/log"
mimetype.assign = ( "" => "application/octet-stream" )
""",
)
APACHE = Program(
    "apache2",
    "apache2",
    ("-D", "FOREGROUND", "-f", "$folder/configuration"),
    """\
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ServerRoot $folder
DefaultRuntimeDir $folder
PidFile $folder/pid
ErrorLog $folder/log
ServerName localhost
Listen 127.0.0.1:$port
DocumentRoot $root
""",
)
CADDY = Program(
    "caddy",
    "caddy",
    ("run", "--config", "$folder/configuration", "--adapter", "caddyfile"),
    """\
{
    admin off
    auto_https off
    grace_period 1s
}
http://:$port {
    bind 127.0.0.1
    root * $root
    file_server
}
""",
)
PROGRAMS = {program.package: program for program in (NGINX, LIGHTTPD, APACHE, CADDY)}


@dataclass(frozen=True)
class WebServer:
    """A running server of ``package``. It serves the files in ``root``."""

    package: str
    root: Path
    port: int

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.port}/{name}"


@contextmanager
def web_server(package: str) -> Iterator[WebServer]:
    """Run the server of ``package``; if it is not installed, skip, or fail if SWITCH requires it."""
    # Not in pytest's folder, which only the tests' account can enter.
    with tempfile.TemporaryDirectory(prefix=f"urlsum-{package}-") as name:
        root = Path(name)
        root.chmod(0o755)
        with running(PROGRAMS[package], PROGRAMS[package].configuration, root=root) as port:
            yield WebServer(package, root, port)


@contextmanager
def running(program: Program, configuration: str, *, root: Path | None = None) -> Iterator[int]:
    """Run ``program`` with a configuration of the same placeholders; yield its port. Skip or fail as above."""
    # Debian installs servers in a folder that only root's PATH contains.
    path = shutil.which(program.command, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if path is None:
        absent = pytest.fail if os.environ.get(SWITCH) == "required" else pytest.skip
        absent(f"{program.package} is not installed: apt-get install {program.package}")
    with tempfile.TemporaryDirectory(prefix=f"urlsum-{program.package}-") as name:
        folder = Path(name)
        with socket.create_server((HOST, 0)) as free:
            port: int = free.getsockname()[1]
        values = {"folder": folder, "root": root, "port": port}
        # nginx has variables of its own.
        (folder / "configuration").write_text(Template(configuration).safe_substitute(values))
        command = [path, *(Template(argument).substitute(values) for argument in program.arguments)]
        with _process(command, folder) as process:
            _wait_for(process, port, folder)
            yield port


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    account = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
    folder.chmod(0o755)
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            # Caddy saves its configuration below HOME.
            env={"PATH": os.defpath, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a process group, so that all its processes can be ended
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), socket.create_connection((HOST, port), START_SECONDS):
            return
        time.sleep(0.02)
    output = "\n".join(
        path.read_text(errors="replace") for path in (folder / "output", folder / "log") if path.exists()
    )
    pytest.fail(f"the server does not listen (exit status {process.poll()}):\n{output}")
