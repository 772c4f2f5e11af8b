"""The API keeps what /openapi.json says, whatever is sent: Schemathesis, with all of its checks, over a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts import openapi
from tests.integration.web.conftest import MD5, NOW, SIZE, changed
from tests.support.web.clients import served
from urlsum.web import models, task_models
from urlsum.web.openapi import operations, schemas

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def test_the_committed_description_is_that_of_the_routes() -> None:
    for document in openapi.DOCUMENTS:
        assert document.read_text(encoding="utf-8") == openapi.document(), "run `make openapi` and commit the result"


def test_every_answer_has_an_example_that_could_be_given() -> None:
    described: dict[tuple[str, str], Any] = operations.OPERATIONS
    seen = set()
    for operation in described.values():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                if "example" in content:
                    model = content["schema"]["$ref"].rpartition("/")[2]
                    {**vars(models), **vars(task_models)}[model].model_validate(content["example"])
                    assert model != "Problem" or str(content["example"]["status"]) == status
                    seen.add(model)
    assert seen == schemas.components().keys() - {
        *schemas.SUBMISSIONS,
        "Task",
        "Note",
        "Progress",
        "Reason",
        "Retry",
        "Reused",
        "Version",
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
def test_the_two_curl_lines_of_the_readme_to_the_letter(backend: Backend) -> None:
    with served(backend.app()) as server:

        def run(line: str) -> str:
            line = line.replace("localhost:5000", f"127.0.0.1:{server.port}")
            return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout

        answer = run('curl -X POST -d "url=http://site.com/file.txt&email=example@abc.ru" http://localhost:5000/submit')
        task_id = json.loads(answer)["id"]
        assert answer == f'{{"id":"{task_id}","check_url":"http://127.0.0.1:{server.port}/check?id={task_id}"}}'
        shown = run(f"curl -X GET http://localhost:5000/check?id={task_id}")
        assert shown.startswith(f'{{"id":"{task_id}","status":"queued",')
        task = backend.table.get(task_id)
        claimed = changed(backend, task, task.claimed(NOW, 90))
        changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7))
        done = json.loads(run(f"curl -X GET http://localhost:5000/check?id={task_id}"))
    assert (done["md5"], done["status"], done["url"]) == (MD5, "done", "http://site.com/file.txt")


def fuzzed(backend: Backend, folder: Path, *options: str) -> int:
    """How many cases passed all checks; the report of Schemathesis is shown when one did not."""
    with served(backend.app()) as server:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", "--no-color", "--checks", "all"),
                *("--continue-on-failure", *options, f"http://127.0.0.1:{server.port}/openapi.json"),
            ],
            cwd=folder,  # where it would leave its own files
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.support.web.fuzz",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout
    passed = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert passed, run.stdout
    assert "7 selected / 7 total" in run.stdout
    sys.stdout.write(run.stdout)
    return int(passed[2])


def test_some_hundred_cases_break_nothing(backend: Backend, tmp_path: Path) -> None:
    assert fuzzed(backend, tmp_path, "--max-examples", "10", "--seed", "1") > 100


@pytest.mark.long
@pytest.mark.timeout(900)
def test_thousands_of_cases_break_nothing(backend: Backend, tmp_path: Path) -> None:
    assert fuzzed(backend, tmp_path, "--max-examples", "250") >= 1000
