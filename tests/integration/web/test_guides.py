"""The guides in docs/, as written: Python's examples, and the systemd unit."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import MD5, NOW, SIZE, changed
from tests.support.web.clients import served
from urlsum.errors import FailureCode
from urlsum.task import Failure

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend

DOCS = Path(__file__).parents[3] / "docs"
BASE = "http://localhost:5000"


def examples(guide: str, language: str) -> list[str]:
    text = (DOCS / guide).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def work(backend: Backend, stop: threading.Event) -> None:
    """End each task that is submitted: files that are missing fail."""
    ended = 0
    while not stop.wait(0.01):
        for task_id, _ in backend.queue.sent[ended:]:
            task = backend.table.get(task_id)
            claimed = changed(backend, task, task.claimed(NOW, 90))
            missing = claimed.failed(Failure(FailureCode.HTTP, "the server answered with status 404"), NOW + 7)
            changed(backend, claimed, missing if "missing" in task.url else claimed.done(MD5, SIZE, NOW + 7))
            ended += 1


@pytest.mark.parametrize("example", examples("python.md", "python"))
def test_the_examples_of_the_python_client_print_digests(
    example: str, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=work, args=(backend, stop))
    worker.start()
    try:
        with served(backend.app()) as server:
            assert BASE in example
            exec(compile(example.replace(BASE, f"http://127.0.0.1:{server.port}"), "python.md", "exec"), {})
    finally:
        stop.set()
        worker.join()
    printed = capsys.readouterr().out
    assert MD5 in printed
    if "missing" in example:
        assert re.search(r"missing\.bam .*404", printed)
        assert re.search(r"^invalid-request .*http", printed, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on PATH")
def test_systemd_knows_every_line_of_the_unit(tmp_path: Path) -> None:
    [unit] = examples("systemd.md", "ini")
    assert "User=urlsum" in unit
    # Neither this user nor the installation exists here.
    file = tmp_path / "urlsum.service"
    file.write_text(re.sub("(?<=ExecStart=).*", "/bin/true", unit.replace("User=urlsum\n", "")), encoding="utf-8")
    run = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    lines = [line for line in run.stderr.splitlines() if "urlsum.service" in line]
    assert (run.returncode, lines) == (0, [])
