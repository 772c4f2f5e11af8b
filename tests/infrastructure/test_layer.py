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

from scripts.sam_build import PYTHON
from scripts.trim_layer import MOST_BYTES, MOST_ZIPPED_BYTES, OPERATIONS, UNUSED, sizes
from tests.infrastructure.test_functions import FUNCTIONS, environment
from tests.infrastructure.test_locks import pins
from tests.infrastructure.test_permissions import statements
from tests.support.aws.deployment import deploy
from tests.support.imports import distributions, imported_by, reached, required_by

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
APPS = [f"functions.{folder}.app" for folder in FUNCTIONS.values()]
# Imports that no function executes, each with the reason. `loaded` executes all others without these packages.
NEVER = {
    ("urlsum.wiring", "urlsum.tables.sql"),  # template.yaml sets TASKS_TABLE
    ("urlsum.wiring", "urlsum.tables.sql_database"),  # the same
    ("urlsum.wiring", "urlsum.tables.sql_records"),  # the same
    ("urlsum.wiring", "urlsum.secret.record"),  # template.yaml sets SECRET_PARAMETER for those who need the secret
    ("urlsum.wiring", "urlsum.queues.redis"),  # template.yaml sets TASKS_QUEUE_URL
    ("urlsum.wiring", "urlsum.queues.redis_attendance"),  # the same
    ("urlsum.wiring", "urlsum.queues.table"),  # the same
    ("urlsum.wiring", "urlsum.mail.smtp"),  # template.yaml sets MAIL_BACKEND to ses
    ("urlsum.wiring", "urlsum.mail.outbox"),  # the same
    ("urlsum.aws", "boto3"),  # on Lambda the session is botocore's
    ("urlsum.settings", "dotenv"),  # there is no .env in the folder of a function
}
BUILD = ROOT / ".aws-sam" / "build"


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
    assert {"botocore", "pynamodb", "msgspec"} <= loaded(layer, function)


def test_functions_import_every_package_of_the_layer(layer: Path) -> None:
    packages = {package for function in FUNCTIONS for package in loaded(layer, function)}
    known = {package for package in packages if (layer / package).exists() or (layer / f"{package}.py").exists()}
    assert pins("src/requirements", ".txt").keys() - distributions(known) == UNUSED


def test_the_layer_keeps_the_operations_that_the_roles_allow() -> None:
    names = {"dynamodb": "dynamodb", "sqs": "sqs", "ses": "sesv2", "ssm": "ssm"}
    for function in FUNCTIONS:
        for action in (action for statement in statements(deploy(), function) for action in statement["Action"]):
            service, _, operation = action.partition(":")
            assert service == "logs" or operation in OPERATIONS[names[service]], action


# A function that cannot do without a file or a package that the build has dropped fails here, and so does one that
# contacts something before its first event.
START = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise PermissionError(event)
sys.addaudithook(refuse)
import app
from urlsum import wiring
print(wiring.services.cache_info().currsize, app.__cached__)
context = wiring.services().table._table._item._get_connection().connection.client._endpoint.http_session._manager
print(len(context.connection_pool_kw["ssl_context"].get_ca_certs()))  # those of a folder are read when they are needed
"""


@pytest.mark.sam
def test_the_built_layer_holds_the_packages_of_its_lock_that_are_used() -> None:
    folder = BUILD / "Layer" / "python"
    built = {canonicalize_name(found.name): found.version for found in installed_in(path=[str(folder)])}
    locked = pins("src/requirements", ".txt")
    assert built == {name: version for name, version in locked.items() if name not in UNUSED}


@pytest.mark.sam
def test_the_built_layer_is_within_its_budget() -> None:
    size, zipped = sizes(BUILD / "Layer")
    assert 0 < size <= MOST_BYTES
    assert 0 < zipped <= MOST_ZIPPED_BYTES


@pytest.mark.sam
def test_everything_built_is_compiled_and_never_compared_with_its_source() -> None:
    sources = [*BUILD.glob("Layer/**/*.py"), *BUILD.glob("*Function/*.py")]
    assert {"app.py", "aws.py"} <= {path.name for path in sources}
    # https://peps.python.org/pep-0552/: the second word is 1 for a file with the hash of a source that nobody checks.
    flags = {(path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc").read_bytes()[4:8] for path in sources}
    assert flags == {(1).to_bytes(4, "little")}


@pytest.mark.sam
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_built_function_is_ready_without_contacting_anything(function: str) -> None:
    process = subprocess.run(
        [PYTHON, "-P", "-c", START],
        cwd=ROOT,
        env={
            **{name: str(value) for name, value in environment(function).items()},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(BUILD / function), str(BUILD / "Layer" / "python")]),
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.split() == ["1", str(BUILD / function / "__pycache__" / "app.cpython-313.pyc"), "0"]
