"""What every test starts from: no setting of the host, no credentials of the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from urlsum import settings, wiring


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.__struct_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    # boto would otherwise ask the metadata service of whatever machine this is.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(settings, "DOTENV", Path(os.devnull))
    settings.load.cache_clear()
    wiring.services.cache_clear()
