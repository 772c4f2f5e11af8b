"""The command's own settings: ``URLSUM_*``, and the names of a service's settings with a hint."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.unit.test_settings import OTHERS
from urlsum.cli import environment
from urlsum.errors import SettingsError
from urlsum.settings import Settings


@pytest.mark.parametrize("name", environment.FIELDS)
def test_each_setting_has_the_prefix(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = environment.load({environment.variable(name): OTHERS[name.upper()]})
    assert getattr(loaded, name) not in (getattr(Settings(), name), None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", sorted(set(environment.FIELDS) - environment.SHARED - {"urlsum_api_key"}))
def test_an_old_name_is_read_with_a_hint(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = environment.load({name.upper(): OTHERS[name.upper()]})
    assert getattr(loaded, name) not in (getattr(Settings(), name), None)
    variable = environment.variable(name)
    assert capsys.readouterr().err == (
        f"urlsum: {name.upper()} may be meant for another program; set {variable} instead\n"
    )


def test_several_old_names_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    environment.load({"READ_TIMEOUT": "5", "MAX_BYTES": "1000", "ALLOWED_PORTS": "443"})
    assert capsys.readouterr().err == (
        "urlsum: ALLOWED_PORTS, MAX_BYTES and READ_TIMEOUT may be meant for another program; set"
        " URLSUM_ALLOWED_PORTS, URLSUM_MAX_BYTES and URLSUM_READ_TIMEOUT instead\n"
    )


def test_the_prefix_wins_without_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    loaded = environment.load({"READ_TIMEOUT": "lots", "URLSUM_READ_TIMEOUT": "5"})
    assert loaded.read_timeout == 5
    assert capsys.readouterr().err == ""


def test_the_name_that_openssl_shares_needs_no_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.load({"SSL_CERT_FILE": "/etc/ca.pem"}).ssl_cert_file == Path("/etc/ca.pem")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_BYTES", "lots"), ("READ_TIMEOUT", "soon"), ("ALLOWED_NETWORKS", "localhost"), ("CONTACT", "nobody")],
)
def test_a_wrong_value_of_an_old_name_is_ignored(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.load({name: value}) == environment.load({})
    said = capsys.readouterr().err
    assert said.startswith(f"urlsum: {name}: ")
    assert said.endswith(f"; ignored, because it may be meant for another program: the command reads URLSUM_{name}\n")


def test_a_deny_list_is_never_ignored() -> None:
    with pytest.raises(SettingsError, match=r"^BLOCKED_HOSTS: "):
        environment.load({"BLOCKED_HOSTS": "*.example.org"})


@pytest.mark.parametrize(
    ("name", "value"), [("URLSUM_MAX_BYTES", "lots"), ("URLSUM_ALLOWED_NETWORKS", "x"), ("URLSUM_API_KEY", "hunter 2")]
)
def test_a_wrong_value_of_its_own_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        environment.load({name: value})
    assert "hunter" not in str(caught.value)


def test_a_misspelt_name_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    environment.load({"URLSUM_MAX_BYTE": "1", "URLSUM_SERVER": "https://h", "URLSUM_TEST_BROWSER": "required"})
    assert capsys.readouterr().err == "urlsum: URLSUM_MAX_BYTE is no setting; did you mean URLSUM_MAX_BYTES?\n"


def test_the_settings_of_a_service_do_not_concern_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    foreign = {"MAIL_BACKEND": "sendgrid", "PORT": "http", "LEASE_SECONDS": "1", "MAIL_PORT": "tcp://10.0.0.1:25"}
    assert environment.load(foreign) == environment.load({})
    assert capsys.readouterr().err == ""


def test_a_long_checkpoint_needs_no_longer_lease() -> None:
    assert environment.load({"URLSUM_CHECKPOINT_SECONDS": "3600"}).checkpoint_seconds == 3600


def test_networks_are_read() -> None:
    loaded = environment.load({"URLSUM_ALLOWED_NETWORKS": "10.0.0.0/8,::1/128"})
    assert loaded.allowed_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
