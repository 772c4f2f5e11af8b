"""CI, Dependabot and pre-commit: each runs what a developer runs, in the versions that the repository pins."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from tests.infrastructure.test_locks import NAMES, pins

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def load(path: Path) -> dict[Any, Any]:
    """A YAML file."""
    content: dict[Any, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return content


def gate() -> dict[str, Any]:
    """The one job of the workflow."""
    (job,) = load(WORKFLOW)["jobs"].values()
    found: dict[str, Any] = job
    return found


def updates(ecosystem: str) -> set[str]:
    """The folders in which Dependabot looks after an ecosystem."""
    entries = load(ROOT / ".github" / "dependabot.yml")["updates"]
    chosen = [entry for entry in entries if entry["package-ecosystem"] == ecosystem]
    return {folder for entry in chosen for folder in entry.get("directories", [entry.get("directory")])}


def test_ci_runs_the_gate_and_no_command_of_its_own() -> None:
    commands = [step["run"] for step in gate()["steps"] if "run" in step]
    assert [command.split()[-1] for command in commands] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_runs_for_pushes_and_pull_requests() -> None:
    # YAML 1.1, which PyYAML reads, takes the word for true.
    assert load(WORKFLOW)[True] == ["push", "pull_request"]


def test_ci_has_the_pythons_of_the_repository_and_the_same_default() -> None:
    settings = [step.get("with", {}) for step in gate()["steps"]]
    (versions,) = [setting["python-version"].split() for setting in settings if "python-version" in setting]
    ours = (ROOT / ".python-version").read_text(encoding="utf-8").split()
    assert sorted(versions) == sorted(ours)
    assert versions[-1] == ours[0]  # setup-python's last one is `python3`, pyenv's first one


def test_ci_has_the_databases_of_compose() -> None:
    compose = load(ROOT / "compose.yaml")["services"]
    services = gate()["services"]
    assert services
    assert {name: service["image"] for name, service in services.items()} == {
        name: compose[name]["image"] for name in services
    }


def test_actions_are_pinned_by_commit_and_name_their_version() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize(
    ("ecosystem", "files"),
    [
        ("pip", [f"{name}.txt" for name in NAMES]),
        ("npm", ["tests/e2e/browser/package.json"]),
        ("docker", ["Dockerfile", "docker/mail/Dockerfile"]),
        ("docker-compose", ["compose.yaml"]),
    ],
)
def test_dependabot_looks_after_every_pin(ecosystem: str, files: list[str]) -> None:
    assert all((ROOT / file).is_file() for file in files)
    folders = {f"/{Path(file).parent}".removesuffix("/.") or "/" for file in files}
    assert updates(ecosystem) == folders


def test_dependabot_looks_after_the_actions() -> None:
    assert updates("github-actions") == {"/"}


def test_pre_commit_runs_the_locked_ruff() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"].endswith("/ruff-pre-commit")
    assert repository["rev"] == f"v{pins('requirements', '.txt')['ruff']}"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]
