"""The command without what Windows lacks: forks, timers, SIGPIPE, poll(2)."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration.cli.conftest import ENVIRONMENT, states
from tests.support.origin.origin_server import File

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Serve

CONTENT = random.Random(12).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
WITHOUT = """
import os, select, signal, sys
for module, names in {
    os: ["fork", "getuid", "sched_getaffinity"],
    select: ["poll", "epoll"],
    signal: ["SIGALRM", "SIGPIPE", "SIGHUP", "setitimer", "alarm", "pthread_sigmask"],
}.items():
    for name in names:
        delattr(module, name)
from urlsum.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_files_are_hashed_and_verified(serve: Serve, tmp_path: Path) -> None:
    origin = serve(File(CONTENT, keep=True))
    urls = [origin.url(f"/{index}") for index in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "-j", "2", *urls],
        cwd=tmp_path,
        env=ENVIRONMENT | states(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "".join(f"{MD5}  {url}\n" for url in urls)), done.stderr
