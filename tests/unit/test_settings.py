from __future__ import annotations

from ipaddress import ip_network

import pytest

from urlsum import settings
from urlsum.errors import SettingsError


def test_defaults_are_valid_and_open_nothing() -> None:
    loaded = settings.load()
    assert loaded.allowed_networks == ()
    assert loaded.allowed_ports == {80, 443, 8080, 8443}
    assert not loaded.on_lambda


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_NETWORKS", "127.0.0.0/8, ::1/128")
    monkeypatch.setenv("ALLOWED_PORTS", "80,8000")
    loaded = settings.load()
    assert loaded.allowed_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert loaded.allowed_ports == {80, 8000}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("ALLOWED_NETWORKS", "127.0.0.1/8"),
        ("ALLOWED_NETWORKS", "localhost"),
        ("ALLOWED_PORTS", "80,99999"),
        ("ALLOWED_PORTS", "http"),
        ("CONNECT_TIMEOUT", "0"),
        ("READ_TIMEOUT", "-1"),
        ("MAX_BYTES", "10GB"),
        ("MAX_ATTEMPTS", "0"),
        ("MAIL_BACKEND", "pigeon"),
        ("PUBLIC_URL", "urlsum.example.org"),
        ("LEASE_SECONDS", "20"),
        ("TASK_TTL_DAYS", "0.5"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        settings.load()
    assert "\n" not in str(caught.value)


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "")
    assert settings.load().public_url is None


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "hunter2")
    assert "hunter2" not in repr(settings.load())
