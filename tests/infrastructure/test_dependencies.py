"""The dependencies and extras in pyproject.toml: what the modules import, in versions that the locks hold."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy.engine import make_url

from tests.infrastructure.test_locks import pins
from tests.support.imports import OURS, distributions, imported_by, modules, reached

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {Requirement(text).name: Requirement(text) for text in PROJECT["dependencies"]}
EXTRAS = {
    extra: {Requirement(text).name: Requirement(text) for text in texts}
    for extra, texts in PROJECT["optional-dependencies"].items()
}
DECLARED = {name: wanted for group in (CORE, *EXTRAS.values()) for name, wanted in group.items()}
COMMAND = reached(modules("urlsum.cli"))
AWS = {
    "urlsum.mail.ses",
    "urlsum.queues.sqs",
    "urlsum.secret.ssm",
    "urlsum.tables.dynamodb",
    "urlsum.aws",
    "urlsum.web.lambda_handler",
}
REDIS = {
    "urlsum.queues.redis",
    "urlsum.queues.redis_attendance",
    *(f"selfhost.rq_{name}" for name in ("config", "emails", "maintenance", "settings", "task", "worker")),
}
SERVER = {name for package in OURS for name in modules(package)} - COMMAND - AWS - REDIS


def test_the_command_needs_the_core_and_nothing_else() -> None:
    assert imported_by(COMMAND) == CORE.keys()


def test_a_server_without_vendors_needs_one_extra() -> None:
    assert imported_by(SERVER) - CORE.keys() == EXTRAS["server"].keys()


@pytest.mark.parametrize(("extra", "adapters"), [("aws", AWS), ("redis", REDIS)])
def test_the_adapters_of_a_vendor_need_its_extra(extra: str, adapters: set[str]) -> None:
    assert imported_by(adapters) - CORE.keys() - EXTRAS["server"].keys() == EXTRAS[extra].keys()


@pytest.mark.slow
def test_no_self_hosted_process_loads_what_only_lambda_needs() -> None:
    processes = (
        "selfhost.server, selfhost.worker, selfhost.slots, selfhost.rq_task, selfhost.rq_maintenance, selfhost.health"
    )
    code = f"import sys, {processes}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"mangum", "boto3", "botocore"}.isdisjoint(loaded.stdout.split())


def test_the_extra_for_mysql_is_the_driver_that_database_uri_names() -> None:
    driver = make_url("mysql+pymysql://localhost/urlsum").get_dialect().import_dbapi().__name__
    assert distributions([driver]) == EXTRAS["mysql"].keys()


def test_no_package_is_declared_twice() -> None:
    assert len(DECLARED) == len(CORE) + sum(len(extra) for extra in EXTRAS.values())


def test_the_lock_of_the_service_names_the_declared_packages() -> None:
    # selfhost/requirements.in includes the layer's.
    assert {**pins("src/requirements", ".in"), **pins("selfhost/requirements", ".in")}.keys() == DECLARED.keys()


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_the_locked_version_lies_within_the_declared_bounds(name: str) -> None:
    assert DECLARED[name].specifier.contains(pins("selfhost/requirements", ".txt")[name])


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_each_declaration_has_a_lower_and_an_upper_bound(name: str) -> None:
    assert {bound.operator for bound in DECLARED[name].specifier} == {">=", "<"}
