"""The settings: only this module reads the environment."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from urlsum.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

Network = IPv4Network | IPv6Network
HIGHEST_PORT = 65535
DOTENV = Path(".env")
# These settings can hold passwords, so errors do not quote them and repr() does not show them.
SECRET = frozenset({"mail_password", "database_uri", "redis_url"})
_HOST_OR_SUFFIX = re.compile(r"\.?([a-z0-9_-]+\.)*[0-9_-]*[a-z][a-z0-9_-]*")
# The path to the fault at the end of msgspec's message.
_PLACE = re.compile(r" - at `\$(?:\.(\w+))?`$")
# Spellings of yes and no besides true and false, 1 and 0.
_WORDS = {"yes": True, "on": True, "y": True, "t": True, "no": False, "off": False, "n": False, "f": False}

MailBackend = Literal["ses", "smtp", "outbox"]
# For these settings msgspec's own reason quotes a pattern, or does not name the choices.
_EXPECTED = {
    "mail_backend": f"expected one of {', '.join(get_args(MailBackend))}",
    "public_url": "expected an http or https URL without query and fragment",
    "tasks_queue_name": "expected 1 to 100 letters, digits or any of _ . : -",
}
# msgspec's type names in plain words.
_TYPES = {"`int`": "a whole number", "`float`": "a number", "`bool`": "true or false", ", got `str`": ""}
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=HIGHEST_PORT)]


class Networks(tuple[Network, ...]):
    """CIDRs, separated by commas."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Networks:
        """Raises ValueError."""
        return cls(ip_network(item) for item in _items(text))


class Ports(frozenset[int]):
    """Ports, separated by commas."""

    @classmethod
    def read(cls, text: str) -> Ports:
        """Raises ValueError."""
        with suppress(ValueError):
            ports = cls(int(item) for item in _items(text))
            if all(1 <= port <= HIGHEST_PORT for port in ports):
                return ports
        raise ValueError(f"expected whole numbers from 1 to {HIGHEST_PORT}, separated by commas")


class Hosts(tuple[Network | str, ...]):
    """Hosts, .suffixes and networks, separated by commas."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Hosts:
        """Raises ValueError."""
        return cls(_host_or_network(item) for item in _items(text))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; each field is the environment variable of the same name in capitals.

    A ``.env`` file in the working directory sets them too; the environment takes precedence.
    """

    # Tables
    database_uri: str = "sqlite:///data/urlsum.db"
    tasks_table: str | None = None
    task_ttl_days: Positive = 30

    # Queues
    tasks_queue_url: str | None = None
    redis_url: str | None = None
    # The RQ queue, named after the service that urlsum replaces, so that its commands work unchanged. No commas and no
    # blanks: RQ separates lists of queues by commas, and its command line by blanks.
    tasks_queue_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,100}\Z")] = "tc-tasks"

    # Mail
    mail_backend: MailBackend = "outbox"
    mail_server: str = "localhost"
    mail_port: Port = 587
    mail_username: str | None = None
    mail_password: str | None = None
    mail_use_tls: bool = True
    mail_from: str = "urlsum@localhost"
    outbox_dir: Path = Path("outbox")

    # The web
    public_url: Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?\Z")] | None = None
    port: Port = 5000

    # The guard against SSRF. Mirrors use ports 8080 and 8443 besides the two standard ones.
    allowed_networks: Networks = Networks()
    allowed_ports: Ports = Ports({80, 443, 8080, 8443})
    # Hosts, .suffixes and networks that urlsum never contacts: operators must be able to honour a request to stop.
    blocked_hosts: Hosts = Hosts()
    ssl_cert_file: Path | None = None

    # Downloads. 5 TiB is the largest object that S3 stores.
    max_bytes: Positive = 5 * 2**40
    connections_per_origin: Annotated[int, Meta(ge=1, le=64)] = 8
    connect_timeout: Seconds = 10.0
    read_timeout: Seconds = 30.0
    min_bytes_per_second: Count = 1024
    min_rate_seconds: Seconds = 60.0
    max_redirects: Count = 10

    # Slices, leases and retries. A slice ends well before Lambda's own time-out, see template.yaml.
    max_attempts: Positive = 5
    retry_base_seconds: Seconds = 5.0
    slice_seconds: Seconds = 240.0
    checkpoint_seconds: Seconds = 10.0
    lease_seconds: Seconds = 90.0
    # The interval between sweeps of a self-hosted worker; on AWS template.yaml schedules them. An idle sweep is one
    # index look-up, and a task whose worker died waits for two leases anyway.
    sweep_seconds: Seconds = 60.0

    # Set by the Lambda runtime, never by people.
    aws_lambda_function_name: str | None = None

    def __post_init__(self) -> None:
        # Only checkpoints renew the lease. If an origin is silent for a whole read time-out just after one, and then
        # needs a new connection, a shorter lease would lapse under a healthy worker.
        silence = self.checkpoint_seconds + self.read_timeout + self.connect_timeout
        if self.lease_seconds <= silence:
            raise ValueError(
                f"LEASE_SECONDS ({self.lease_seconds:g}) must be more than CHECKPOINT_SECONDS + READ_TIMEOUT"
                f" + CONNECT_TIMEOUT ({silence:g})"
            )

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in SECRET)
        return f"Settings({', '.join(shown)})"

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda (or its emulator)."""
        return self.aws_lambda_function_name is not None


def on_lambda() -> bool:
    """Whether this process runs inside AWS Lambda; safe at import, because unlike ``load`` it reads no file."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


@cache
def load() -> Settings:
    """The settings of this process. Raises SettingsError: one line that names the wrong setting."""
    variables: dict[str, str | None] = {}
    if DOTENV.is_file():
        from dotenv import dotenv_values  # noqa: PLC0415 - 25 ms, only with such a file

        variables.update(dotenv_values(DOTENV))
    variables.update({name: value for name, value in os.environ.items() if value})
    return parse({name.lower(): value for name, value in variables.items() if value and name.isupper()})


def parse(values: Mapping[str, object]) -> Settings:
    """The settings in ``values``, by field name, as text or as values; other names are ignored.

    Raises SettingsError.
    """
    fields = {name: _value(name, value) for name, value in values.items()}
    try:
        return msgspec.convert(fields, Settings, strict=False, dec_hook=_read)
    except msgspec.ValidationError as exc:
        text = str(exc)
        match = _PLACE.search(text)
        name = match[1] if match else None
        reason = text[: match.start()] if match else text
        if name is None:
            raise SettingsError(reason) from None
        reason = _EXPECTED.get(name, reason)
        for theirs, ours in _TYPES.items():
            reason = reason.replace(theirs, ours)
        shown = "" if name in SECRET else f" (it is {values[name]!r})"
        raise SettingsError(f"{name.upper()}: {reason[:1].lower()}{reason[1:]}{shown}") from None


def _value(name: str, value: object) -> object:
    if name == "mail_use_tls" and isinstance(value, str):
        return _WORDS.get(value.lower(), value)
    return value


def _read(kind: type[Any], value: Any) -> Any:  # noqa: ANN401 - msgspec's signature
    """Convert text, or the values themselves, to one of the types above."""
    return kind.read(value) if isinstance(value, str) and hasattr(kind, "read") else kind(value)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _host_or_network(text: str) -> Network | str:
    with suppress(ValueError):
        return ip_network(text)
    host = text.lower().removesuffix(".")
    # An entry that no host can match, like *.example.org or a URL, would deny nothing.
    if not _HOST_OR_SUFFIX.fullmatch(host):
        raise ValueError(
            f"{text!r} is neither a host (example.org), nor a .suffix (.example.org: it and its subdomains), nor"
            " a network (192.0.2.0/24); write international names in their xn-- form"
        )
    return host
