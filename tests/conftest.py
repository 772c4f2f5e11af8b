"""What every test starts from: no setting and no credentials of the host, and no fault of a host that stood still."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.stalls import RunsStalledTestsAgain
from urlsum import settings, wiring

if TYPE_CHECKING:
    from collections.abc import Generator

SETTINGS = {name.upper() for name in settings.Settings.__struct_fields__}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RunsStalledTestsAgain(config))


def pytest_unconfigure() -> None:
    # It imports SQLAlchemy and Alembic, which a run of a few files may not need.
    if tables := sys.modules.get("tests.support.stores.tables"):
        tables.drop_shared_databases()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without collecting garbage: what their modules make lives as long as the process.

    Each full collection would walk through all of it: 2 of 9 s of each of eight processes, and seconds more while
    tests run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name in SETTINGS or name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    # boto would otherwise ask the metadata service of whatever machine this is.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(settings, "DOTENV", Path(os.devnull))
    settings.load.cache_clear()
    wiring.services.cache_clear()
