"""The logs of the web functions on Lambda: each line names its function, its request and its task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TASK = "302f6eb1-97b7-41fd-b7d2-3ebc539bb273"
# The handlers of the root logger belong to a process; hence one of its own.
ON_LAMBDA = """
import sys
from types import SimpleNamespace
from functions.FUNCTION.app import handler
from tests.support.web.clients import FORM, event
print(handler(event(METHOD, PATH, BODY, {"content-type": FORM}), SimpleNamespace(aws_request_id="r-1"))["statusCode"])
"""


def lines(function: str, method: str, path: str, body: bytes | None = None) -> tuple[list[dict[str, Any]], str]:
    """What one request logs while no table answers, and the status of its response."""
    code = ON_LAMBDA.replace("FUNCTION", function).replace("METHOD", repr(method))
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("PATH", repr(path)).replace("BODY", repr(body))],
        cwd=ROOT,
        env={
            "PYTHONPATH": str(ROOT),
            "AWS_LAMBDA_FUNCTION_NAME": f"urlsum-{function}",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # discard: nobody listens
            "TASKS_TABLE": "tasks",
            "TASKS_QUEUE_URL": "http://127.0.0.1:9/tasks",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    *logged, status = ran.stdout.splitlines()
    return [json.loads(text) for text in logged], status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_line_of_check_names_function_request_and_task(method: str) -> None:
    logged, status = lines("check", method, f"/check?id={TASK}")
    assert status == "503"
    assert logged
    assert {(line["function"], line["requestId"], line["task"]) for line in logged} == {("check", "r-1", TASK)}
    assert {line["level"] for line in logged} == {"WARN"}


def test_a_line_of_submit_names_function_and_request() -> None:
    logged, status = lines("submit", "POST", "/submit", b"url=https://example.org/f")
    assert status == "503"
    assert logged
    assert {(line["function"], line["requestId"]) for line in logged} == {("submit", "r-1")}


def test_an_id_that_is_none_fills_no_line() -> None:
    logged, status = lines("check", "GET", "/check?id=" + "x" * 5000)
    assert (logged, status) == ([], "404")
