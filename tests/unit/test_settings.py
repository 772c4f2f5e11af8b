from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from urlsum import settings
from urlsum.errors import SettingsError
from urlsum.setting_values import corrections
from urlsum.settings import Settings
from urlsum.tables.engine import create_engine, shown


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
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_ORIGINS", "*"),
        ("MAX_CONNECTIONS", "0"),
        ("BLOCKED_HOSTS", "*.example.org"),
        ("BLOCKED_HOSTS", "https://example.org"),
        ("BLOCKED_HOSTS", "example.org:8080"),
        ("BLOCKED_HOSTS", "münchen.de"),
        ("BLOCKED_HOSTS", "10.0.0.1/8"),
        ("BLOCKED_HOSTS", "10.0"),
        ("CONNECT_TIMEOUT", "0"),
        ("READ_TIMEOUT", "-1"),
        ("MAX_BYTES", "10 parsecs"),
        ("MAX_ATTEMPTS", "0"),
        ("MAIL_BACKEND", "pigeon"),
        ("PUBLIC_URL", "urlsum.example.org"),
        ("LEASE_SECONDS", "20"),
        ("TASK_TTL_DAYS", "0.5"),
        ("TASKS_QUEUE_NAME", "two words"),
        ("TASKS_QUEUE_NAME", "a,b"),
        ("TASKS_QUEUE_NAME", "tasks\nmore"),
        ("PUBLIC_URL", "https://urlsum.example.org\nmore"),
        ("CONTACT", "nobody"),
        ("CONTACT", "ftp://example.org/"),
        ("CONTACT", "abuse@example.org\r\nX-Injected: 1"),
        ("CONTACT", "abuse@example.org\nmore"),
        ("CONTACT", "https://example.org/) Mozilla/5.0 ("),
        ("CONTACT", "https://example.org/\\"),
        ("CONTACT", "gr\xfc\xdfe@example.org"),
        ("CONTACT", "https://example.org/" + "x" * 200),
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
        ("MAX_BYTES", "0GB", "MAX_BYTES: expected a whole number of bytes >= 1 (it is '0GB')"),
        ("MAX_BYTES", "5T", "MAX_BYTES: expected a whole number of bytes, like 5TB or 500MiB (it is '5T')"),
        ("READ_TIMEOUT", "soon", "READ_TIMEOUT: expected a number of seconds, like 90s or 1h (it is 'soon')"),
        ("READ_TIMEOUT", "-1", "READ_TIMEOUT: expected a number of seconds > 0 (it is '-1')"),
        ("MAX_TASK_HOURS", "90min", "MAX_TASK_HOURS: expected a whole number of hours, like 36h or 7d (it is '90min')"),
        ("TASK_TTL_DAYS", "a week", "TASK_TTL_DAYS: expected a whole number of days, like 30d or 2w (it is 'a week')"),
        ("CONNECTIONS_PER_ADDRESS", "x", "CONNECTIONS_PER_ADDRESS: expected a whole number (it is 'x')"),
        (
            "ALLOWED_NETWORKS",
            "127.0.0.1/8",
            (
                "ALLOWED_NETWORKS: '127.0.0.1/8' is an address in 127.0.0.0/8; write the network, or the address alone"
                " (it is '127.0.0.1/8')"
            ),
        ),
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


@pytest.mark.parametrize("wrong", ["x y", "-1", "1.5", "1e400", "nan", "0", "9" * 30, "tcp://10.0.0.1:25", "1h", "5TB"])
@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_no_error_speaks_of_pythons_types(name: str, wrong: str) -> None:
    try:
        settings.parse({name: wrong})
    except SettingsError as exc:
        said = str(exc).replace(repr(wrong), "")
        assert not re.search(r"`|\bnull\b|\bNone\b|\bint\b|\bfloat\b|\bstr\b|\bbool\b", said), said


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("MAX_BYTES", "5TB", 5 * 10**12),
        ("MAX_BYTES", "1.5 GiB", 3 * 2**29),
        ("CLIENT_BYTES_PER_DAY", "0b", 0),
        ("ORIGIN_BYTES_PER_DAY", "10tib", 10 * 2**40),
        ("MIN_BYTES_PER_SECOND", "1kB", 1000),
        ("HAND_OVER_SECONDS", "1.5m", 90.0),
        ("CONNECT_TIMEOUT", "500ms", 0.5),
        ("SLICE_SECONDS", "1h 30 min", 5400.0),
        ("LEASE_SECONDS", "1h", 3600.0),
        ("MAX_TASK_HOURS", "7d", 168),
        ("MAX_TASK_HOURS", "120 min", 2),
        ("TASK_TTL_DAYS", "2 weeks", 14),
    ],
)
def test_sizes_and_times_may_have_units(monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: float) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(settings.load(), name.lower()) == meant


# DESIGN, "Settings": what a person may set, and what it is when nobody does.
DEFAULTS = {
    "DATABASE_URI": "sqlite:///data/urlsum.db",
    "DATABASE_PASSWORD": None,
    "TASKS_TABLE": None,
    "TASKS_QUEUE_URL": None,
    "CONTINUATIONS_QUEUE_URL": None,
    "REDIS_URL": None,
    "TASKS_QUEUE_NAME": "tc-tasks",
    "MAIL_SERVER": "localhost",
    "MAIL_PORT": 587,
    "MAIL_USERNAME": None,
    "MAIL_PASSWORD": None,
    "MAIL_USE_TLS": True,
    "MAIL_FROM": "urlsum@localhost",
    "SES_CONFIGURATION_SET": None,
    "MAIL_BACKEND": "outbox",
    "OUTBOX_DIR": Path("outbox"),
    "PUBLIC_URL": None,
    "CONTACT": None,
    "PORT": 5000,
    "HOST": "localhost",
    "ALLOWED_HOSTS": (),
    "ALLOWED_ORIGINS": (),
    "MAX_CONNECTIONS": 2048,
    "MAX_CONNECTIONS_PER_CLIENT": 128,
    "ALLOWED_NETWORKS": (),
    "ALLOWED_PORTS": {80, 443, 8080, 8443},
    "BLOCKED_HOSTS": (),
    "SHARED_NETWORKS": (),
    "MAX_BYTES": 5 * 2**40,
    "CONNECTIONS_PER_ORIGIN": 8,
    "CONNECTIONS_PER_ADDRESS": None,
    "ORIGIN_REQUESTS_PER_MINUTE": 6000,
    "ORIGIN_BYTES_PER_DAY": 10 * 2**40,
    "WORKER_PROCESSES": 0,
    "CONNECT_TIMEOUT": 10.0,
    "READ_TIMEOUT": 30.0,
    "MIN_BYTES_PER_SECOND": 1024,
    "MIN_RATE_SECONDS": 60.0,
    "MAX_TASK_HOURS": 168,
    "MAX_ATTEMPTS": 5,
    "RETRY_BASE_SECONDS": 5.0,
    "MAX_REDIRECTS": 10,
    "SSL_CERT_FILE": None,
    "SLICE_SECONDS": 240.0,
    "HAND_OVER_SECONDS": 10.0,
    "CHECKPOINT_SECONDS": 10.0,
    "LEASE_SECONDS": 90.0,
    "SWEEP_SECONDS": 60.0,
    "STACK_NAME": "urlsum",
    "TASK_TTL_DAYS": 30,
    "TRUSTED_PROXIES": (),
    "METRICS_NETWORKS": (),
    "CLIENT_SUBMITS_PER_MINUTE": 60,
    "CLIENT_SUBMITS_PER_DAY": 1000,
    "CLIENT_UNFINISHED": 100,
    "CLIENT_BYTES_PER_DAY": 2**40,
    "CLIENT_FRESH_PER_DAY": 20,
    "MAX_UNFINISHED": 20_000,
    "RECIPIENT_EMAILS_PER_DAY": 50,
    "API_KEYS": (),
    "REQUIRE_API_KEY": False,
    "URLSUM_API_KEY": None,
    "SECRET_PARAMETER": None,
}
# Another value that is right, as text. None of them is a default.
OTHERS = {
    "DATABASE_URI": "mysql+pymysql://urlsum:hunter2@db/urlsum",
    "DATABASE_PASSWORD": "hunter2",
    "TASKS_TABLE": "tasks",
    "TASKS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/tasks",
    "CONTINUATIONS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/continuations",
    "REDIS_URL": "redis://:hunter2@localhost:6379/0",
    "TASKS_QUEUE_NAME": "other-tasks",
    "MAIL_SERVER": "smtp.example.org",
    "MAIL_PORT": "25",
    "MAIL_USERNAME": "urlsum",
    "MAIL_PASSWORD": "hunter2",
    "MAIL_USE_TLS": "false",
    "MAIL_FROM": "sums@example.org",
    "SES_CONFIGURATION_SET": "urlsum-prod",
    "MAIL_BACKEND": "smtp",
    "OUTBOX_DIR": "/var/spool/urlsum",
    "PUBLIC_URL": "https://sums.example.org/urlsum",
    "CONTACT": "abuse@example.org",
    "PORT": "8000",
    "HOST": "::",
    "ALLOWED_HOSTS": "sums.example.org",
    "ALLOWED_ORIGINS": "https://lab.example.org",
    "MAX_CONNECTIONS": "100",
    "MAX_CONNECTIONS_PER_CLIENT": "0",
    "ALLOWED_NETWORKS": "10.0.0.0/8",
    "ALLOWED_PORTS": "443",
    "BLOCKED_HOSTS": ".example.org",
    "SHARED_NETWORKS": "192.0.2.0/24",
    "MAX_BYTES": "1",
    "CONNECTIONS_PER_ORIGIN": "1",
    "CONNECTIONS_PER_ADDRESS": "32",
    "ORIGIN_REQUESTS_PER_MINUTE": "0",
    "ORIGIN_BYTES_PER_DAY": "0",
    "WORKER_PROCESSES": "3",
    "CONNECT_TIMEOUT": "0.5",
    "READ_TIMEOUT": "5",
    "MIN_BYTES_PER_SECOND": "0",
    "MIN_RATE_SECONDS": "5",
    "MAX_TASK_HOURS": "0",
    "MAX_ATTEMPTS": "1",
    "RETRY_BASE_SECONDS": "0.1",
    "MAX_REDIRECTS": "0",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "SLICE_SECONDS": "30",
    "HAND_OVER_SECONDS": "5",
    "CHECKPOINT_SECONDS": "1",
    "LEASE_SECONDS": "300",
    "SWEEP_SECONDS": "5",
    "STACK_NAME": "urlsum-prod",
    "TASK_TTL_DAYS": "1",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "METRICS_NETWORKS": "10.0.0.0/24",
    "CLIENT_SUBMITS_PER_MINUTE": "0",
    "CLIENT_SUBMITS_PER_DAY": "5",
    "CLIENT_UNFINISHED": "5",
    "CLIENT_BYTES_PER_DAY": "5",
    "CLIENT_FRESH_PER_DAY": "5",
    "MAX_UNFINISHED": "5",
    "RECIPIENT_EMAILS_PER_DAY": "5",
    "API_KEYS": f"hunter2:{'0' * 64}",
    "REQUIRE_API_KEY": "yes",
    "URLSUM_API_KEY": "hunter2",
    "SECRET_PARAMETER": "/urlsum/prod/secret",
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
    if name == "REQUIRE_API_KEY":  # it needs one
        monkeypatch.setenv("API_KEYS", OTHERS["API_KEYS"])
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


# Each as the README has it written: in single quotes. `docker run --env-file` passes the quotes on.
SECRETS = ["pa$$word", "$HOME and ${HOME}", "p@ss:w/rd?", "100%25", "a # b", 'say "so"', "back\\slash"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_single_quotes_is_the_same_from_a_file_and_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path, secret: str
) -> None:
    dotenv.write_text(f"MAIL_PASSWORD='{secret}'\n")
    assert settings.load().mail_password == secret
    settings.load.cache_clear()
    dotenv.unlink()
    monkeypatch.setenv("MAIL_PASSWORD", f"'{secret}'")
    assert settings.load().mail_password == secret


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - {"API_KEYS", "REQUIRE_API_KEY"}))
@pytest.mark.parametrize("written", [" '{}\t'", '"{}"\r\n'])
def test_blanks_and_quotes_at_both_ends_are_no_part_of_a_value(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str
) -> None:
    monkeypatch.setenv(name, OTHERS[name])
    expected = value(name)
    settings.load.cache_clear()
    monkeypatch.setenv(name, written.format(OTHERS[name]))
    assert value(name) == expected


def test_a_file_in_another_encoding_ends_in_one_line_that_does_not_quote_it(dotenv: Path) -> None:
    dotenv.write_bytes(b"PORT=8000\nMAIL_PASSWORD=hunter2 gr\xfc\xdfe\n")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert str(caught.value) == ".env: line 2 is not UTF-8; save the file in that encoding"


def test_a_file_that_may_not_be_read_ends_in_one_line(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv.write_text("PORT=8000\n")

    def refuse(_: Path) -> bytes:  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SettingsError, match=r"^\.env: Permission denied$"):
        settings.load()


def test_bytes_of_another_encoding_in_the_environment_end_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", b"gr\xfc\xdfe".decode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=r"^MAIL_PASSWORD: not UTF-8$"):
        settings.load()


def test_a_byte_order_mark_is_no_part_of_the_first_name(dotenv: Path) -> None:
    dotenv.write_text("\ufeffPORT=8000\r\n")
    assert settings.load().port == 8000


@pytest.mark.parametrize("secret", SECRETS)
def test_the_password_of_the_database_may_stand_apart_as_it_is(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("DATABASE_URI", "mysql+pymysql://urlsum@db/urlsum?charset=utf8mb4")
    monkeypatch.setenv("DATABASE_PASSWORD", secret)
    url = create_engine(settings.load().database_uri).url
    assert (url.username, url.password, url.host, url.database) == ("urlsum", secret, "db", "urlsum")


@pytest.mark.parametrize("uri", [OTHERS["DATABASE_URI"], DEFAULTS["DATABASE_URI"], "sqlite:////data/a@b.db"])
def test_a_uri_with_a_password_or_without_a_user_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("DATABASE_URI", uri)
    monkeypatch.setenv("DATABASE_PASSWORD", "another")
    assert settings.load().database_uri == uri


@pytest.mark.parametrize("secret", ["hun@ter2", "hunter2@", "@hunter2", "hun@te/r2", "hun@te?r2", "hun@ter:2"])
def test_no_part_of_a_database_password_with_an_at_sign_is_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_PASSWORD") as caught:
        create_engine(f"mysql+pymysql://urlsum:{secret}@db/urlsum")
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mysql+pymysql://urlsum:hunter2", "mysql+pymysql://urlsum:hunter2@db:port/urlsum", "hunter2"]
)
def test_a_malformed_database_uri_is_not_quoted(uri: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URI: not a database URI") as caught:
        create_engine(uri)
    assert "hunter2" not in str(caught.value)


def test_the_uri_that_people_see_has_no_password_in_its_query_either() -> None:
    seen = shown("mysql+pymysql://urlsum:hunter2@db/urlsum?password=hunter2&charset=utf8mb4")
    assert seen == "mysql+pymysql://urlsum:***@db/urlsum"


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
    assert {line.partition("=")[0] for line in lines} <= DEFAULTS.keys() | compose | {"COMPOSE_PROJECT_NAME"}
    dotenv.write_text("\n".join(lines))
    settings.load()


@pytest.mark.parametrize("value", ["x86_64-conda-linux-gnu", "127.1", "[::1]", "http://localhost", "0.0.0.0:5000"])
def test_what_is_no_address_is_no_host_to_listen_on(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOST", value)
    with pytest.raises(SettingsError, match=r"^HOST: expected an IP address of this machine, or localhost \(it is "):
        settings.load()


@pytest.mark.parametrize("backend", ["outbox", "ses"])
def test_the_link_of_a_service_in_kubernetes_breaks_nothing_that_sends_no_email_by_it(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("MAIL_PORT", "tcp://10.96.0.17:25")
    monkeypatch.setenv("MAIL_BACKEND", backend)
    assert settings.load().mail_port == 587


def test_what_sends_email_by_it_reads_how_to_set_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PORT", "tcp://10.96.0.17:25")
    monkeypatch.setenv("MAIL_BACKEND", "smtp")
    with pytest.raises(
        SettingsError, match=r"^MAIL_PORT: 'tcp://10.96.0.17:25' is what Kubernetes sets for a Service; "
    ):
        settings.load()


def test_a_name_of_another_program_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_SSL_CERT_FILE", "/etc/ssl/certs/ca-bundle.crt")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert not [note for note in settings.misspelt() if "NIX" in note]


def test_a_misspelt_name_is_named(monkeypatch: pytest.MonkeyPatch, dotenv: Path) -> None:
    before = settings.misspelt()
    monkeypatch.setenv("ALLOWED_NETWORK", "127.0.0.0/8")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///x.db")
    dotenv.write_text("MAX_BYTE=5\nread_timeout=5\nCOMPOSE_PROJECT_NAME=x\nMYSQL_PASSWORD=x\nPUBLISH=8000\n")
    assert set(settings.misspelt()) - set(before) == {
        "ALLOWED_NETWORK is no setting; did you mean ALLOWED_NETWORKS?",
        "DATABASE_URL is no setting; did you mean DATABASE_URI?",
        "MAX_BYTE is no setting; did you mean MAX_BYTES?",
        "read_timeout is no setting; did you mean READ_TIMEOUT?",
    }
    # What is set is not meant by another name.
    monkeypatch.setenv("DATABASE_URI", "sqlite:///y.db")
    assert "DATABASE_URL" not in "".join(settings.misspelt())


# As shells, Kubernetes, Lambda and compose set them.
USUAL = """
HOME PATH USER SHELL PWD LANG HOSTNAME HOSTTYPE LOGNAME MAIL TERM EDITOR DISPLAY SSH_AUTH_SOCK VIRTUAL_ENV PYTHONPATH
KUBERNETES_PORT KUBERNETES_SERVICE_HOST MAIL_SERVICE_PORT MAIL_SERVICE_HOST MAIL_PORT_25_TCP MAIL_PORT_25_TCP_PORT
REDIS_PORT REDIS_SERVICE_HOST AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_FUNCTION_MEMORY_SIZE MYSQL_PASSWORD PUBLISH
COMPOSE_PROJECT_NAME SSL_CERT_DIR REQUESTS_CA_BUNDLE HTTP_PROXY NO_PROXY XDG_RUNTIME_DIR
"""


def test_what_the_environment_usually_has_is_near_no_setting() -> None:
    assert corrections(USUAL.split(), {name.upper() for name in Settings.__struct_fields__}) == []


def test_a_variable_is_set_where_either_mentions_it(monkeypatch: pytest.MonkeyPatch, dotenv: Path) -> None:
    assert not settings.is_set("ALLOWED_NETWORKS")
    monkeypatch.setenv("ALLOWED_NETWORKS", "")
    assert settings.is_set("ALLOWED_NETWORKS")
    monkeypatch.delenv("ALLOWED_NETWORKS")
    dotenv.write_text("ALLOWED_NETWORKS=\n")
    assert settings.is_set("ALLOWED_NETWORKS")


def test_a_lease_must_outlast_what_a_healthy_worker_may_be_silent_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "50")
    with pytest.raises(SettingsError, match=r"^LEASE_SECONDS \(50\) must be more than .* \(50\)$"):
        settings.load()
    settings.load.cache_clear()
    monkeypatch.setenv("LEASE_SECONDS", "50.1")
    assert settings.load().lease_seconds == 50.1


@pytest.mark.parametrize(
    "name", ["MAIL_PASSWORD", "DATABASE_URI", "DATABASE_PASSWORD", "REDIS_URL", "API_KEYS", "URLSUM_API_KEY"]
)
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


@pytest.mark.parametrize(
    ("values", "said"),
    [({}, True), ({"contact": "a@b.example"}, False), ({"public_url": "https://urlsum.example"}, False)],
)
def test_a_service_says_when_nobody_can_be_asked(values: dict[str, Any], said: bool) -> None:
    assert ("CONTACT is not set" in (Settings(**values).notice or "")) is said


def test_a_service_that_requires_keys_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_API_KEY", "true")
    with pytest.raises(SettingsError, match=r"^REQUIRE_API_KEY needs a key in API_KEYS"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEYS", "lab:hunter2"), ("API_KEYS", f"lab:{'0' * 64}:hunter2=1"), ("URLSUM_API_KEY", "hunter2 hunter2")],
)
def test_a_wrong_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)
