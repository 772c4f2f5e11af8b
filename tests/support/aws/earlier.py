"""The artifacts of an earlier commit, so that a stack can be updated from it and rolled back to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from scripts import local_aws, trim_layer
from scripts.sam_build import PYTHON, ROOT, for_one_architecture, host_architecture
from tests.infrastructure.test_functions import environment

if TYPE_CHECKING:
    from pathlib import Path

# What a deployment consists of.
DEPLOYED = ("template.yaml", "functions", "src")
LOCK = "src/requirements.txt"
# A function with web and one without: between them they import all that the others do.
STARTED = ("SubmitFunction", "HashWorkerFunction")
# How many commits are tried. One that does not start is rare, and two in a row rarer.
TRIES = 3


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    # The gate of CI runs as root in another user's checkout.
    return subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=ROOT, capture_output=True, check=False)


def revisions() -> list[str]:
    """The commits to begin with, best first; skip without history.

    The newest release before this commit; then the last commits with another deployment, along the first parents: on
    these a merge is one change.
    """
    if shutil.which("git") is None or _git("rev-parse", "HEAD").returncode:
        pytest.skip("this is no clone with a history")
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^")
    found = [tag.stdout.decode().strip()] if not tag.returncode else []
    if _git("diff", "--quiet", "HEAD", "--", *DEPLOYED).returncode == 1:
        found.append("HEAD")
    log = _git("log", f"-{TRIES}", "--first-parent", "--format=%H", "--", *DEPLOYED).stdout.decode().split()
    found += [f"{commit}^" for commit in log if not _git("rev-parse", "--verify", "--quiet", f"{commit}^").returncode]
    if not found:
        pytest.skip("this clone is shallow, and has no earlier deployment to update from")
    return found[:TRIES]


def earlier_build(built: Path, folder: Path) -> Path:
    """Build the first of these commits whose functions start; ``built`` is the build of this commit.

    A commit in the middle of a series may not start: it was never deployed.
    """
    for number, commit in enumerate(revisions()):
        made = build(check_out(commit, folder / str(number)), built)
        if all(_starts(made, function) for function in STARTED):
            return made
    pytest.skip(f"of the last {TRIES} commits with another deployment none starts")


def _starts(made: Path, function: str) -> bool:
    variables = {name: str(value) for name, value in environment(function).items()}
    paths = os.pathsep.join([str(made / function), str(made / "Layer" / "python")])
    variables |= {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "AWS_LAMBDA_FUNCTION_NAME": function}
    variables |= {**local_aws.ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}
    # In the folder of this repository: pyenv chooses Python by it.
    command = [PYTHON, "-P", "-c", "import app"]
    return not subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=False).returncode


def check_out(commit: str, folder: Path) -> Path:
    """The tree of a commit below ``folder``."""
    tree = folder / "tree"
    archive = _git("archive", commit)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(tree, filter="data")
    return tree


def _python_folder() -> str:
    """Where the functions' Python is: PATH may only have pyenv's command, which needs more of the environment."""
    where = [PYTHON, "-c", "import os, sys; print(os.path.dirname(sys.executable))"]
    return subprocess.run(where, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def build(tree: Path, built: Path) -> Path:
    """Build the functions and the layer of ``tree``; return the folder with the built template.

    Where the lock is the same, the packages are taken from ``built``, the build of this commit, which saves most of the
    time. Otherwise the tree builds itself; the test is skipped if that fails, because it needs a package index.
    """
    if (tree / LOCK).read_bytes() != (ROOT / LOCK).read_bytes():
        command = [sys.executable, "-m", "scripts.sam_build", "--architecture", host_architecture()]
        paths = (str(ROOT / ".venv-sam" / "bin"), _python_folder(), "/usr/bin", "/bin")
        variables = {"SAM_VENV": str(ROOT / ".venv-sam"), "PATH": os.pathsep.join(paths)}
        ended = subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=False)
        if ended.returncode:
            pytest.skip(f"the earlier commit has other packages, and cannot be built: {ended.stderr[-300:]}")
        return tree / ".aws-sam" / "build"
    folder = tree / "build"
    shutil.copytree(built / "Layer", folder / "Layer")
    own = folder / "Layer" / "python" / "urlsum"
    shutil.rmtree(own)
    shutil.copytree(tree / "src" / "urlsum", own)
    trim_layer.compile_all(PYTHON, own, "/opt/python/urlsum")
    template = yaml_parse((tree / "template.yaml").read_text(encoding="utf-8"))
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            shutil.copytree(tree / properties["CodeUri"], folder / name)
            properties["CodeUri"] = name
        if "ContentUri" in properties:
            properties["ContentUri"] = name
    (folder / "template.yaml").write_text(for_one_architecture(json.dumps(template), host_architecture()))
    return folder
