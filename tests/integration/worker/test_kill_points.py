"""A worker is killed before each line between claim, commit, send and mark: the promise holds at every one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.support.aws.moto_process import moto_process
from tests.support.aws.template import create_queue, create_table
from tests.support.processes.worker_group import ROOT
from tests.support.stores.tables import migrated_mysql_database, sqlite_uri

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

SCENES = ("submit", "whole", "late", "hand over", "sweep", "wait", "reuse")


def killed(kind: str, scene: str, which: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Outcomes of killing at lines of the scene; ``which`` as in tests.support.processes.kill_points."""
    with ExitStack() as stack:
        if kind == "sqlite":
            monkeypatch.setenv("DATABASE_URI", sqlite_uri(directory))
        elif kind == "mysql":
            uri = stack.enter_context(migrated_mysql_database())
            monkeypatch.setenv("DATABASE_URI", uri)
        else:
            monkeypatch.setenv("AWS_ENDPOINT_URL", stack.enter_context(moto_process()))
            dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
            monkeypatch.setenv("TASKS_TABLE", create_table(dynamodb))
            monkeypatch.setenv("TASKS_QUEUE_URL", create_queue(sqs))
            dynamodb.close()
            sqs.close()
        command = [sys.executable, "-m", "tests.support.processes.kill_points", str(directory), scene, which]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


def assert_kept(outcomes: list[dict[str, Any]], scene: str) -> None:
    """Check the promise at every kill."""
    assert all(outcome["died"] for outcome in outcomes)
    for outcome in outcomes:
        if not outcome["stored"]:
            # Nothing was answered yet, and nothing was left behind.
            assert scene == "submit"
            assert outcome["letters"] == 0
            continue
        assert (outcome["status"], outcome["right"], outcome["mail"]) == ("done", True, "sent"), outcome
        assert outcome["reader"] in (None, "done"), outcome
        # Exactly one mail; a second one only if the first was out and not yet noted.
        assert outcome["letters"] == 1 + outcome["unnoted"], outcome
    if scene == "whole":
        # The kills came before the claim, in the middle, between commit and mark, with and without a mail out.
        assert {"queued pending", "running pending", "done pending"} <= {outcome["left"] for outcome in outcomes}
        assert any(outcome["unnoted"] for outcome in outcomes)
    if scene == "late":
        # There is nothing between: the claim and the result are one write.
        assert {outcome["left"] for outcome in outcomes} == {"queued pending", "done pending", "done sent"}


@pytest.mark.parametrize("scene", SCENES)
def test_some_lines(scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_kept(killed("sqlite", scene, "23", tmp_path, monkeypatch), scene)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("kind", "which"), [("sqlite", "all"), ("mysql", "ends"), ("aws", "ends")])
def test_every_line(kind: str, which: str, scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = killed(kind, scene, which, tmp_path, monkeypatch)
    second = sum(outcome["stored"] and outcome["unnoted"] for outcome in outcomes)
    places = len({outcome["at"] for outcome in outcomes})
    print(f"\n{kind}, {scene}: {len(outcomes)} kills at {places} lines, {second} second mails")  # noqa: T201 - figures
    assert_kept(outcomes, scene)
