"""The Lambda layer: the packages that the four functions import, what those require, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.metadata import distribution
from importlib.metadata import distributions as installed_in
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.infrastructure.test_functions import FUNCTIONS, environment
from tests.infrastructure.test_locks import pins
from tests.support.imports import distributions, imported_by, reached, required_by

ROOT = Path(__file__).parents[2]
APPS = [f"functions.{folder}.app" for folder in FUNCTIONS.values()]
# Imports that no function executes, each with the reason. `loaded` executes all others without these packages.
NEVER = {
    ("urlsum.wiring", "urlsum.tables.sql"),  # template.yaml sets TASKS_TABLE
    ("urlsum.wiring", "urlsum.queues.redis"),  # template.yaml sets TASKS_QUEUE_URL
    ("urlsum.wiring", "urlsum.queues.table"),  # the same
    ("urlsum.wiring", "urlsum.mail.smtp"),  # template.yaml sets MAIL_BACKEND to ses
    ("urlsum.wiring", "urlsum.mail.outbox"),  # the same
    ("urlsum.settings", "dotenv"),  # there is no .env in the folder of a function
}
# email-validator imports dnspython only to look up mail servers, and urlsum never asks for that. Its metadata require
# the package, though, and pip, as `sam build` runs it, refuses a lock with hashes that lacks a requirement.
REQUIRED_ONLY = {"dnspython"}


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the packages of the layer and no others."""
    folder = tmp_path_factory.mktemp("layer")
    for name in pins("src/requirements", ".txt"):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder


@cache
def loaded(layer: Path, function: str) -> frozenset[str]:
    """The top-level packages that a process without any other package loads for everything that a function reaches."""
    app = f"functions.{FUNCTIONS[function]}.app"
    names = sorted(reached([app], without=NEVER))
    lines = ["import sys", f"import {app}", "from urlsum import wiring", "wiring.services()"]
    lines += [f"import {name}" for name in [*names, "idna"]]  # idna is imported for hosts that are not ASCII
    variables = {name: str(value) for name, value in environment(function).items()}
    process = subprocess.run(
        [sys.executable, "-S", "-c", "\n".join([*lines, "print(*sys.modules)"])],
        cwd=ROOT,
        env={
            **variables,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(layer), str(ROOT / "src"), str(ROOT)]),
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_DEFAULT_REGION": "eu-central-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return frozenset(name.partition(".")[0] for name in process.stdout.split())


def test_the_layer_names_the_packages_that_functions_import() -> None:
    assert pins("src/requirements", ".in").keys() == imported_by(reached(APPS, without=NEVER), without=NEVER)


def test_the_layer_holds_what_these_packages_require_and_no_more() -> None:
    assert pins("src/requirements", ".txt").keys() == required_by(pins("src/requirements", ".in"), python="3.13")


def test_no_function_brings_an_env_file() -> None:
    assert [*(ROOT / "functions").rglob(".env")] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_starts_with_the_packages_of_the_layer_alone(layer: Path, function: str) -> None:
    assert {"boto3", "pynamodb", "msgspec"} <= loaded(layer, function)


def test_functions_import_every_package_of_the_layer(layer: Path) -> None:
    packages = {package for function in FUNCTIONS for package in loaded(layer, function)}
    known = {package for package in packages if (layer / package).exists() or (layer / f"{package}.py").exists()}
    assert pins("src/requirements", ".txt").keys() - distributions(known) == REQUIRED_ONLY


@pytest.mark.sam
def test_the_built_layer_holds_the_packages_of_its_lock() -> None:
    folder = ROOT / ".aws-sam" / "build" / "Layer" / "python"
    built = {canonicalize_name(found.name): found.version for found in installed_in(path=[str(folder)])}
    assert built == pins("src/requirements", ".txt")
