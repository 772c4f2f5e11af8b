from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from urlsum import settings
from urlsum.errors import SettingsError
from urlsum.settings import Settings


def test_defaults_are_valid_and_open_nothing() -> None:
    loaded = settings.load()
    assert loaded.allowed_networks == ()
    assert set(loaded.allowed_ports) == {80, 443, 8080, 8443}
    assert not loaded.on_lambda


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_NETWORKS", "127.0.0.0/8, ::1/128")
    monkeypatch.setenv("ALLOWED_PORTS", "80,8000")
    monkeypatch.setenv("BLOCKED_HOSTS", "Example.org., .example.net, 8.8.8.8, 2606:4700::/32,")
    loaded = settings.load()
    assert loaded.blocked_hosts == ("example.org", ".example.net", ip_network("8.8.8.8"), ip_network("2606:4700::/32"))
    assert loaded.allowed_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert set(loaded.allowed_ports) == {80, 8000}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("ALLOWED_NETWORKS", "127.0.0.1/8"),
        ("ALLOWED_NETWORKS", "localhost"),
        ("ALLOWED_PORTS", "80,99999"),
        ("ALLOWED_PORTS", "http"),
        ("BLOCKED_HOSTS", "*.example.org"),
        ("BLOCKED_HOSTS", "https://example.org"),
        ("BLOCKED_HOSTS", "example.org:8080"),
        ("BLOCKED_HOSTS", "münchen.de"),
        ("BLOCKED_HOSTS", "10.0.0.1/8"),
        ("BLOCKED_HOSTS", "10.0"),
        ("CONNECT_TIMEOUT", "0"),
        ("READ_TIMEOUT", "-1"),
        ("MAX_BYTES", "10GB"),
        ("MAX_ATTEMPTS", "0"),
        ("MAIL_BACKEND", "pigeon"),
        ("PUBLIC_URL", "urlsum.example.org"),
        ("LEASE_SECONDS", "20"),
        ("TASK_TTL_DAYS", "0.5"),
        ("TASKS_QUEUE_NAME", "two words"),
        ("TASKS_QUEUE_NAME", "a,b"),
        ("TASKS_QUEUE_NAME", "tasks\n"),
        ("PUBLIC_URL", "https://urlsum.example.org\n"),
        ("CONNECT_TIMEOUT", "nan"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        settings.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "http", "PORT: expected a whole number (it is 'http')"),
        ("MAIL_PORT", "65536", "MAIL_PORT: expected a whole number <= 65535 (it is '65536')"),
        ("MAX_BYTES", "0", "MAX_BYTES: expected a whole number >= 1 (it is '0')"),
        ("READ_TIMEOUT", "soon", "READ_TIMEOUT: expected a number (it is 'soon')"),
        ("READ_TIMEOUT", "-1", "READ_TIMEOUT: expected a number > 0.0 (it is '-1')"),
        ("MAIL_USE_TLS", "maybe", "MAIL_USE_TLS: expected true or false (it is 'maybe')"),
        ("MAIL_BACKEND", "pigeon", "MAIL_BACKEND: expected one of ses, smtp, outbox (it is 'pigeon')"),
        ("PUBLIC_URL", "host", "PUBLIC_URL: expected an http or https URL without query and fragment (it is 'host')"),
        (
            "TASKS_QUEUE_NAME",
            "a,b",
            "TASKS_QUEUE_NAME: expected 1 to 100 letters, digits or any of _ . : - (it is 'a,b')",
        ),
        *(
            (
                "ALLOWED_PORTS",
                ports,
                f"ALLOWED_PORTS: expected whole numbers from 1 to 65535, separated by commas (it is '{ports}')",
            )
            for ports in ("80,99999", "80,http", "0")
        ),
    ],
)
def test_a_wrong_value_is_explained_without_names_of_types_or_patterns(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert str(caught.value) == words


# DESIGN, "Settings": what a person may set, and what it is when nobody does.
DEFAULTS = {
    "DATABASE_URI": "sqlite:///data/urlsum.db",
    "TASKS_TABLE": None,
    "TASKS_QUEUE_URL": None,
    "REDIS_URL": None,
    "TASKS_QUEUE_NAME": "tc-tasks",
    "MAIL_SERVER": "localhost",
    "MAIL_PORT": 587,
    "MAIL_USERNAME": None,
    "MAIL_PASSWORD": None,
    "MAIL_USE_TLS": True,
    "MAIL_FROM": "urlsum@localhost",
    "MAIL_BACKEND": "outbox",
    "OUTBOX_DIR": Path("outbox"),
    "PUBLIC_URL": None,
    "PORT": 5000,
    "ALLOWED_NETWORKS": (),
    "ALLOWED_PORTS": {80, 443, 8080, 8443},
    "BLOCKED_HOSTS": (),
    "MAX_BYTES": 5 * 2**40,
    "CONNECTIONS_PER_ORIGIN": 8,
    "CONNECT_TIMEOUT": 10.0,
    "READ_TIMEOUT": 30.0,
    "MIN_BYTES_PER_SECOND": 1024,
    "MIN_RATE_SECONDS": 60.0,
    "MAX_ATTEMPTS": 5,
    "RETRY_BASE_SECONDS": 5.0,
    "MAX_REDIRECTS": 10,
    "SSL_CERT_FILE": None,
    "SLICE_SECONDS": 240.0,
    "CHECKPOINT_SECONDS": 10.0,
    "LEASE_SECONDS": 90.0,
    "SWEEP_SECONDS": 60.0,
    "TASK_TTL_DAYS": 30,
}
# Another value that is right, as text. None of them is a default.
OTHERS = {
    "DATABASE_URI": "mysql+pymysql://urlsum:hunter2@db/urlsum",
    "TASKS_TABLE": "tasks",
    "TASKS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/tasks",
    "REDIS_URL": "redis://:hunter2@localhost:6379/0",
    "TASKS_QUEUE_NAME": "other-tasks",
    "MAIL_SERVER": "smtp.example.org",
    "MAIL_PORT": "25",
    "MAIL_USERNAME": "urlsum",
    "MAIL_PASSWORD": "hunter2",
    "MAIL_USE_TLS": "false",
    "MAIL_FROM": "sums@example.org",
    "MAIL_BACKEND": "smtp",
    "OUTBOX_DIR": "/var/spool/urlsum",
    "PUBLIC_URL": "https://sums.example.org/urlsum",
    "PORT": "8000",
    "ALLOWED_NETWORKS": "10.0.0.0/8",
    "ALLOWED_PORTS": "443",
    "BLOCKED_HOSTS": ".example.org",
    "MAX_BYTES": "1",
    "CONNECTIONS_PER_ORIGIN": "1",
    "CONNECT_TIMEOUT": "0.5",
    "READ_TIMEOUT": "5",
    "MIN_BYTES_PER_SECOND": "0",
    "MIN_RATE_SECONDS": "5",
    "MAX_ATTEMPTS": "1",
    "RETRY_BASE_SECONDS": "0.1",
    "MAX_REDIRECTS": "0",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "SLICE_SECONDS": "30",
    "CHECKPOINT_SECONDS": "1",
    "LEASE_SECONDS": "300",
    "SWEEP_SECONDS": "5",
    "TASK_TTL_DAYS": "1",
}


def value(name: str) -> object:
    return getattr(settings.load(), name.lower())


def test_every_setting_is_known_here_and_none_is_forgotten() -> None:
    # The last one is the runtime's own.
    assert {name.upper() for name in Settings.__struct_fields__} == {*DEFAULTS, "AWS_LAMBDA_FUNCTION_NAME"}
    assert DEFAULTS.keys() == OTHERS.keys()


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_the_default_holds_when_a_setting_is_missing_or_empty(
    monkeypatch: pytest.MonkeyPatch, name: str, default: object
) -> None:
    assert value(name) == default
    settings.load.cache_clear()
    monkeypatch.setenv(name, "")
    assert value(name) == default


@pytest.mark.parametrize(("name", "other"), OTHERS.items())
def test_the_environment_changes_a_setting(monkeypatch: pytest.MonkeyPatch, name: str, other: str) -> None:
    monkeypatch.setenv(name, other)
    assert value(name) not in (DEFAULTS[name], None)


@pytest.fixture
def dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The .env of the working directory."""
    monkeypatch.setattr(settings, "DOTENV", Path(".env"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_a_file_named_dot_env_is_read_and_the_environment_wins_over_it(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path
) -> None:
    dotenv.write_text("# a comment\nMAX_BYTES=1000\nPORT=8000\nMAIL_FROM=sums@example.org\nCOMPOSE_PROJECT_NAME=x\n")
    monkeypatch.setenv("MAX_BYTES", "2000")
    loaded = settings.load()
    assert (loaded.max_bytes, loaded.port, loaded.mail_from) == (2000, 8000, "sums@example.org")


def test_an_empty_value_in_the_environment_leaves_the_files(monkeypatch: pytest.MonkeyPatch, dotenv: Path) -> None:
    # As compose.yaml passes on what is not set: PORT=${PORT}
    dotenv.write_text("PORT=8000\n")
    monkeypatch.setenv("PORT", "")
    assert settings.load().port == 8000


def test_a_wrong_value_in_the_file_is_named_too(dotenv: Path) -> None:
    dotenv.write_text("PORT=http\n")
    with pytest.raises(SettingsError, match="PORT"):
        settings.load()


def test_the_example_file_names_only_settings_and_what_compose_takes(dotenv: Path) -> None:
    example = (Path(settings.__file__).parents[2] / ".env.example").read_text()
    # Uncommented, it must be taken whole.
    lines = [line.removeprefix("#") for line in example.splitlines() if re.match(r"#?[A-Z_]+=", line)]
    assert lines
    compose = set(re.findall(r"\$\{([A-Z_]+)", (Path(settings.__file__).parents[2] / "compose.yaml").read_text()))
    assert {line.partition("=")[0] for line in lines} <= DEFAULTS.keys() | compose
    dotenv.write_text("\n".join(lines))
    settings.load()


def test_a_lease_must_outlast_what_a_healthy_worker_may_be_silent_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "50")
    with pytest.raises(SettingsError, match=r"^LEASE_SECONDS \(50\) must be more than .* \(50\)$"):
        settings.load()
    settings.load.cache_clear()
    monkeypatch.setenv("LEASE_SECONDS", "50.1")
    assert settings.load().lease_seconds == 50.1


@pytest.mark.parametrize("name", ["MAIL_PASSWORD", "DATABASE_URI", "REDIS_URL"])
def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, OTHERS[name])
    assert "hunter2" in OTHERS[name]
    assert "hunter2" not in repr(settings.load())
    assert "hunter2" not in str(settings.load())


def test_a_wrong_value_beside_a_password_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAIL_PASSWORD", "DATABASE_URI", "REDIS_URL"):
        monkeypatch.setenv(name, OTHERS[name])
    monkeypatch.setenv("LEASE_SECONDS", "1")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)
